"""Calls of gRPC, for what Flight has no call for: tags, corrections, status, detectors. By the packages grpcio and protobuf, where they are installed.

The messages are those of the descriptors beside this file, which are made from the `.proto` files. Code generated from them would fit one version
of protobuf; descriptors fit all.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import importlib.resources
import threading
from collections.abc import Mapping
from typing import Any

from .address import Address
from .error import NotSupported, of_code

DESCRIPTORS = "historian.binpb"
_TIMES = ("time", "since", "expires", "expiry_time", "start_time", "end_time", "begin_time", "create_time", "update_time", "last_error_time", "last_good_time")


class Rpc:
    """The second connection of a client, made by the first call."""

    def __init__(self, address: Address, options: Mapping[str, Any], headers: list[tuple[bytes, bytes]], timeout_s: float | None) -> None:
        self._address = address
        self._options = options
        self._metadata = [(name.decode(), value.decode()) for name, value in headers]
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._channel: Any = None

    def call(self, method: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Calls such as "TagService/GetTag": the fields of the request in, all fields of the response out."""
        grpc = _package("grpc")
        asked, answered = _messages(method)
        message = asked()
        _fill(message, request or {})
        with self._lock:
            if self._channel is None:
                self._channel = self._connected(grpc)
            channel = self._channel
        try:
            answer = channel.unary_unary(f"/historian.v1.{method}")(message.SerializeToString(), timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            word = error.code().name.lower().replace("_", " ")
            raise of_code({"deadline exceeded": "timeout"}.get(word, word), error.details()) from error
        return _plain(answered.FromString(answer))

    def close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = None

    def _connected(self, grpc: Any) -> Any:
        address, options = self._address, self._options
        if address.socket:
            return grpc.insecure_channel(f"unix://{address.socket}", [("grpc.default_authority", "localhost")])
        if not address.is_secured:
            return grpc.insecure_channel(address.authority)
        root, key, chain = (_bytes(options.get(name)) for name in ("tls_root_certs", "private_key", "cert_chain"))
        name = options.get("override_hostname")
        more = [("grpc.ssl_target_name_override", name)] if name else []
        return grpc.secure_channel(address.authority, grpc.ssl_channel_credentials(root, key, chain), more)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotSupported("this call speaks gRPC: pip install 'historian-client[grpc]'; or use the commands of `historian`") from error


@functools.cache
def _messages(method: str) -> tuple[Any, Any]:
    """The classes of request and response."""
    service, _, name = method.partition("/")
    found = _pool().FindServiceByName(f"historian.v1.{service}").FindMethodByName(name)
    make = _package("google.protobuf.message_factory").GetMessageClass
    return make(found.input_type), make(found.output_type)


@functools.cache
def _pool() -> Any:
    files = _package("google.protobuf.descriptor_pb2").FileDescriptorSet()
    files.ParseFromString(importlib.resources.files(__package__).joinpath(DESCRIPTORS).read_bytes())
    pool = _package("google.protobuf.descriptor_pool").DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def _fill(message: Any, fields: Mapping[str, Any]) -> None:
    """Not by way of JSON, which has no place for NaN."""
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if _is_repeated(field):
            column = getattr(message, name)
            if field.message_type is None:
                column.extend(value)
            else:
                for item in value:
                    _fill(column.add(), item)
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), value)
        elif field.enum_type is not None:
            setattr(message, name, field.enum_type.values_by_name[value].number)
        else:
            setattr(message, name, value)


def _plain(message: Any) -> dict[str, Any]:
    """Names and values: None for what is absent, enums in words, moments as datetimes (None for never)."""
    return {field.name: _value(field, message) for field in message.DESCRIPTOR.fields}


def _value(field: Any, message: Any) -> Any:
    value = getattr(message, field.name)
    if _is_repeated(field):
        return [_one(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _plain(value)
    if field.enum_type is not None:
        # VALUE_TYPE_F64 of ValueType is f64.
        name = field.enum_type.values_by_number[value].name
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        return name.removeprefix(prefix).lower()
    if field.name in _TIMES:
        return moment(value) if value else None
    return value


def _is_repeated(field: Any) -> bool:
    # The older way to ask is gone from newer versions.
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def moment(nanoseconds: int) -> dt.datetime:
    """A moment to the microsecond."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(microseconds=nanoseconds // 1000)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
