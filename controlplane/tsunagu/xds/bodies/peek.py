"""Reads single fields of an encoded message by number, for rules that need a few fields of large messages.

Rule: no message type is known here and nothing is validated. A field that is absent, or of another shape, reads as empty;
it is left to the client to refuse malformed bytes.
"""

from __future__ import annotations

from functools import cached_property

from tsunagu.xds import wire


class Peek:
    """A message. `peek(3, 1)` is field 1 of field 3; a missing message has no fields."""

    def __init__(self, data: bytes | int | None) -> None:
        self._data = data if isinstance(data, bytes) else b""
        self.present = data is not None

    @cached_property
    def _fields(self) -> dict[int, list[bytes | int]]:
        found: dict[int, list[bytes | int]] = {}
        try:
            for number, value in wire.fields(self._data):
                found.setdefault(number, []).append(value)
        except wire.Malformed:
            return {}
        return found

    def __call__(self, *path: int) -> Peek:
        """The message at the end of the path; of several the last, as protobuf reads it."""
        at = self
        for number in path:
            values = at._fields.get(number)
            at = Peek(values[-1] if values else None)
        return at

    def every(self, *path: int) -> list[Peek]:
        """The messages at the end of the path, where each step may be repeated."""
        at = [self]
        for number in path:
            at = [Peek(value) for one in at for value in one._fields.get(number, ())]
        return at

    def has(self, *numbers: int) -> bool:
        """True when one of these fields is set."""
        return any(number in self._fields for number in numbers)

    def text(self, *path: int) -> str:
        """The string at the end of the path."""
        value = self(*path[:-1])._fields.get(path[-1], [b""])[-1]
        return value.decode(errors="replace") if isinstance(value, bytes) else ""

    def number(self, *path: int) -> int:
        """The integer (or bool, or enum) at the end of the path; 0 when it is not set."""
        value = self(*path[:-1])._fields.get(path[-1], [0])[-1]
        return value if isinstance(value, int) else 0

    @property
    def string(self) -> str:
        """The value itself as a string, where it is no message."""
        return self._data.decode(errors="replace")

    def any(self, type_name: str) -> Peek:
        """Return the message in this google.protobuf.Any if it has that full name, else a missing one."""
        packed = self.text(1).rpartition("/")[2] == type_name
        return (self(2) if self.has(2) else Peek(b"")) if packed else Peek(None)
