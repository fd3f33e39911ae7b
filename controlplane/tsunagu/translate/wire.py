"""Encodes betterproto2's messages by a plan that is made once per message class.

The library validates a message at every level each time it encodes one (20 s per 1,000 services), and even without that it
looks up each field's default anew (3 s). The one rule: the result equals `bytes(message)`; tests compare them. A value of
the wrong type (a number in a text field) fails here too, but ranges are not checked, and neither are empty values (0 in a
text field).

Wire types and varints: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import dataclasses
import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from tsunagu.xds.wire import DELIMITED, FIXED32, FIXED64, VARINT, varint

if TYPE_CHECKING:
    from collections.abc import Callable

    import betterproto2

    Encode = Callable[[Any], bytes]  # of one value, without its key
    Write = Callable[[Any], bytes]  # of a field's whole value, with its keys

_64_BITS: Final = (1 << 64) - 1


def encode(message: betterproto2.Message) -> bytes:
    """Return what `bytes(message)` returns, without validation."""
    parts = []
    for name, always, write in _plan(type(message)):
        value = getattr(message, name)
        if value is not None and (always or value):
            parts.append(write(value))
    parts.append(message._unknown_fields)  # noqa: SLF001 - fields of a parsed message that its class does not know
    return b"".join(parts)


@cache
def _plan(of: type[betterproto2.Message]) -> tuple[tuple[str, bool, Write], ...]:
    """For each field: its name, whether an empty value is written too (the field has presence), and its writer."""
    fields: Any = dataclasses.fields(of)  # type: ignore[arg-type]  # generated messages are dataclasses
    return tuple((field.name, *_field(field.metadata["betterproto"])) for field in fields)


def _field(meta: betterproto2.FieldMetadata) -> tuple[bool, Write]:
    if meta.map_meta is not None:
        return False, _map(meta.number, *meta.map_meta)
    wire, encoded = _value(meta)
    if meta.repeated:
        packed = wire != DELIMITED
        return False, _packed(meta.number, encoded) if packed else _repeated(_single(meta.number, wire, encoded))
    has_presence = bool(meta.optional or meta.group or meta.proto_type == "message")
    return has_presence, _single(meta.number, wire, encoded)


# -- fields -----------------------------------------------------------------------------------------------------------


def _single(number: int, wire: int, encoded: Encode) -> Write:
    key = varint(number << 3 | wire)
    return (lambda value: key + _delimited(encoded(value))) if wire == DELIMITED else lambda value: key + encoded(value)


def _repeated(write: Write) -> Write:
    return lambda values: b"".join(map(write, values))


def _packed(number: int, encoded: Encode) -> Write:
    key = varint(number << 3 | DELIMITED)
    return lambda values: key + _delimited(b"".join(map(encoded, values)))


def _map(number: int, key: betterproto2.FieldMetadata, value: betterproto2.FieldMetadata) -> Write:
    """A map's entry is a message of two fields, both of which are always written."""
    write_key, write_value = (_single(index, *_value(meta)) for index, meta in ((1, key), (2, value)))
    entry = varint(number << 3 | DELIMITED)
    return lambda values: b"".join(
        entry + _delimited(write_key(one) + write_value(other)) for one, other in values.items()
    )


# -- values -----------------------------------------------------------------------------------------------------------


def _value(meta: betterproto2.FieldMetadata) -> tuple[int, Encode]:
    """The wire type of one value, and its encoder."""
    if meta.proto_type == "message":
        return DELIMITED, encode if meta.unwrap is None else _wrapped(meta.unwrap)
    return _SCALARS[meta.proto_type]


def _wrapped(unwrap: Callable[[], Any]) -> Encode:
    """An encoder for messages that betterproto2 shows as Python values: durations, UInt32Values and the like.

    Few different ones occur, so the results are cached; timestamps do not repeat, so theirs are not.
    """

    def encoded(value: object) -> bytes:
        return encode(unwrap().from_wrapped(value))

    return encoded if unwrap().__name__ == "Timestamp" else lru_cache(maxsize=256)(encoded)


def _fixed(code: str) -> Encode:
    return struct.Struct(code).pack


def _integer(value: int) -> bytes:
    return varint(value & _64_BITS)  # negative numbers: two's complement in 64 bits


def _delimited(body: bytes) -> bytes:
    return varint(len(body)) + body


_SCALARS: Final[dict[str, tuple[int, Encode]]] = {
    **dict.fromkeys(("enum", "bool", "int32", "int64", "uint32", "uint64"), (VARINT, _integer)),
    **dict.fromkeys(("sint32", "sint64"), (VARINT, lambda value: _integer(value << 1 ^ value >> 63))),
    "float": (FIXED32, _fixed("<f")),
    "fixed32": (FIXED32, _fixed("<I")),
    "sfixed32": (FIXED32, _fixed("<i")),
    "double": (FIXED64, _fixed("<d")),
    "fixed64": (FIXED64, _fixed("<Q")),
    "sfixed64": (FIXED64, _fixed("<q")),
    "string": (DELIMITED, str.encode),
    "bytes": (DELIMITED, b"".__add__),  # bytes(5) would be five bytes
}
