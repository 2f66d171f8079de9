"""The list of detectors. Flight has no call for it, so this one speaks gRPC, by the package grpcio where that is installed.

The answer is three levels of text fields. Reading them here spares a client everything that generated code would need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from .error import HistorianError, NotSupported, of_code

_METHOD = "/historian.v1.QueryService/ListDetectors"
_SCHEMA = pa.schema([(name, pa.utf8()) for name in ("detector", "description", "parameter", "unit", "default", "allowed", "meaning")])
# Fields of historian.v1.Detector.Parameter by their numbers.
_PARAMETER = {1: "parameter", 2: "meaning", 3: "unit", 4: "default", 5: "allowed"}


def detectors(url: str, options: dict[str, Any], headers: list[tuple[bytes, bytes]], timeout_s: float | None) -> pa.Table:
    try:
        import grpc
    except ImportError as error:
        raise NotSupported("detectors() speaks gRPC: pip install 'historian-client[grpc]'; or run `historian detectors`") from error
    address = url.partition("://")[2]
    if url.startswith("grpc+tls:"):
        bytes_of = {name: _bytes(options.get(name)) for name in ("tls_root_certs", "private_key", "cert_chain")}
        credentials = grpc.ssl_channel_credentials(bytes_of["tls_root_certs"], bytes_of["private_key"], bytes_of["cert_chain"])
        channel = grpc.secure_channel(address, credentials)
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        try:
            metadata = [(name.decode(), value.decode()) for name, value in headers]
            answer = channel.unary_unary(_METHOD)(b"", timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            word = error.code().name.lower().replace("_", " ")
            raise of_code({"deadline exceeded": "timeout"}.get(word, word), error.details()) from error
    return pa.Table.from_pylist(list(_rows(answer)), schema=_SCHEMA)


def _rows(answer: bytes) -> Iterator[dict[str, str | None]]:
    for _, detector in _fields(answer):
        fields = list(_fields(detector))
        told = {number: text.decode() for number, text in fields if number in (1, 2)}
        about = {"detector": told.get(1, ""), "description": told.get(2, "")}
        for number, parameter in fields:
            if number == 3:
                values = {_PARAMETER[key]: text.decode() for key, text in _fields(parameter) if key in _PARAMETER}
                # An empty text is not sent. No default is something else than an empty one.
                yield {**about, "unit": "", "allowed": "", "meaning": "", **values}


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of the fields of a protobuf message; those of other wire types are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
            continue
        if kind not in (1, 2, 5):
            raise HistorianError(f"the historian answered a message that cannot be read (wire type {kind} at byte {at})")
        size, at = _varint(message, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if at + size > len(message):
            raise HistorianError(f"the historian answered a message that ends within a field at byte {at}")
        if kind == 2:
            yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HistorianError(f"the historian answered a message that cannot be read (a number at byte {at})")


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
