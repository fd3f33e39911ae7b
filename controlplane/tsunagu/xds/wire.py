"""Protobuf's wire format, for places where a generated class would copy bodies that need not be decoded.

Rule: no message type is known here; callers write field numbers beside the names that they stand for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """The bytes are not a protobuf message."""


def varint(number: int) -> bytes:
    """Encode `number` (>= 0) as a base-128 varint."""
    if number < 0x80:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))


def delimited(field: int, payload: bytes) -> bytes:
    """Encode a length-delimited field: string, bytes or message."""
    size = len(payload)
    if field < 16 and size < 0x80:  # most of what is put together for each stream
        return bytes((field << 3 | DELIMITED, size)) + payload
    return varint(field << 3 | DELIMITED) + varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    """Encode a string field; an empty one is omitted, as in proto3."""
    return delimited(field, value.encode()) if value else b""


def number(field: int, value: int) -> bytes:
    """Encode an integer field (>= 0); zero is omitted, as in proto3."""
    return varint(field << 3 | VARINT) + varint(value) if value else b""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the top-level fields of a message in wire order: (number, varint or payload). Raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if kind == DELIMITED:
            size, at = _read_varint(data, at)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise Malformed(f"wire type {kind} at byte {at}")
        if at + size > end:
            raise Malformed(f"field {tag >> 3} ends {at + size - end} bytes behind its message")
        yield tag >> 3, data[at : at + size]
        at += size


def first(data: bytes, field: int) -> int | bytes | None:
    """Return the first value of `field`; None if it is absent or the bytes are not a message."""
    try:
        return next((value for number, value in fields(data) if number == field), None)
    except Malformed:
        return None


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 64:
        if at >= len(data):
            raise Malformed("ends inside a varint")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise Malformed("varint of more than 64 bits")
