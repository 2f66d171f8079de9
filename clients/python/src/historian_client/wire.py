"""Protocol Buffers without generated code: fields that have a length, which is all that the commands of Flight SQL are made of."""

from __future__ import annotations

from collections.abc import Iterator

from .error import HistorianError

_ANY = b"type.googleapis.com/arrow.flight.protocol.sql."


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    length, size = bytearray(), len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content


def sql_message(name: str, *fields: bytes) -> bytes:
    """A message of Flight SQL in a `google.protobuf.Any`."""
    return field(1, _ANY + name.encode()) + field(2, b"".join(fields))


def of_any(message: bytes) -> dict[int, bytes]:
    """The fields of the message within an `Any`."""
    return dict(fields(dict(fields(message)).get(2, b"")))


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of the fields of a message; those of other wire types are passed over."""
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
