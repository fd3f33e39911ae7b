"""Reads and writes values by the shapes of a service's model, as botocore ships them: what a client may send, what it is sent.

The one rule: the model decides. A request has the members, types, lengths, ranges, patterns and words that its shape allows, or is
refused with all that is wrong; what a shape does not name is passed over, as AWS does. Timestamps are seconds since the epoch here.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.model import Shape

_SHOWN: Final = 100  # characters of a value in a message


class Unreadable(AwsError):
    """A value is of another type than its shape, or the body cannot be read at all."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def read(shape: Shape, value: Any, invalid: str) -> dict[str, Any]:
    """Return a request's members by name. `invalid`: the code of an error for values that break a constraint.

    Raises Unreadable, and AwsError with that code.
    """
    reader = _Reader()
    members: dict[str, Any] = reader.read(shape, value, "")
    if faults := reader.faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
        raise AwsError(invalid, f"{count}: {'; '.join(faults)}")
    return members


class _Reader:
    """One request. Invariant: `faults` has what is wrong with the values that have been read."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def read(self, shape: Shape, value: Any, path: str) -> Any:
        return _READERS[shape.type_name](self, shape, value, path)

    def structure(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        given = _of_type(dict, value, path)
        found = {}
        for name, member in shape.members.items():
            inner = f"{path}.{_camel(name)}" if path else _camel(name)
            if given.get(name) is not None:
                found[name] = self.read(member, given[name], inner)
            elif name in shape.required_members:
                self.faults.append(f"Value null at '{inner}' failed to satisfy constraint: Member must not be null")
        return found

    def sequence(self, shape: Any, value: Any, path: str) -> list[Any]:
        given = _of_type(list, value, path)
        self._bounds(shape, len(given), given, path)
        return [self.read(shape.member, one, f"{path}.{index}.member") for index, one in enumerate(given, 1)]

    def mapping(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        given = _of_type(dict, value, path)
        self._bounds(shape, len(given), given, path)
        return {
            self.read(shape.key, key, path): self.read(shape.value, one, f"{path}.{key}.member")
            for key, one in given.items()
            if one is not None
        }

    def string(self, shape: Any, value: Any, path: str) -> str:
        text: str = _of_type(str, value, path)
        self._bounds(shape, len(text), text, path)
        if shape.enum and text not in shape.enum:
            self.faults.append(_fault(text, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"))
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(text):
            self.faults.append(_fault(text, path, f"Member must satisfy regular expression pattern: {pattern}"))
        return text

    def integer(self, shape: Any, value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _unexpected("an integer", value, path)
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            self.faults.append(_fault(value, path, f"Member must have value greater than or equal to {low}"))
        if high is not None and value > high:
            self.faults.append(_fault(value, path, f"Member must have value less than or equal to {high}"))
        return value

    def number(self, shape: Any, value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unexpected("a number", value, path)
        return float(value)

    def boolean(self, shape: Any, value: Any, path: str) -> bool:
        return bool(_of_type(bool, value, path))

    def timestamp(self, shape: Any, value: Any, path: str) -> float:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise _unexpected("a timestamp", value, path) from None
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        seconds = self.number(shape, value, path)
        if not math.isfinite(seconds):
            raise _unexpected("a timestamp", value, path)
        return seconds

    def blob(self, shape: Any, value: Any, path: str) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return base64.b64decode(_of_type(str, value, path), validate=True)
        except binascii.Error:
            raise _unexpected("bytes in base64", value, path) from None

    def _bounds(self, shape: Any, length: int, value: Any, path: str) -> None:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and length < low:
            self.faults.append(_fault(value, path, f"Member must have length greater than or equal to {low}"))
        if high is not None and length > high:
            self.faults.append(_fault(value, path, f"Member must have length less than or equal to {high}"))


_READERS: Final[Mapping[str, Callable[[_Reader, Any, Any, str], Any]]] = {
    "structure": _Reader.structure,
    "list": _Reader.sequence,
    "map": _Reader.mapping,
    "string": _Reader.string,
    "character": _Reader.string,
    "integer": _Reader.integer,
    "long": _Reader.integer,
    "double": _Reader.number,
    "float": _Reader.number,
    "boolean": _Reader.boolean,
    "timestamp": _Reader.timestamp,
    "blob": _Reader.blob,
}
#: Types whose values every protocol writes as they are; asked before the recursion, for answers consist of them.
_AS_IT_IS: Final = frozenset({"string", "character", "integer", "long", "double", "float", "boolean"})
_NAMES: Final = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}


def write(shape: Any, value: Any, scalar: Callable[[str, Any], Any]) -> Any:
    """Return what is sent of a value: the members that its shape has and that are not None. `scalar` is asked for timestamps
    and blobs, which each protocol writes in its own way: (type, value) -> what is sent.
    """
    kind = shape.type_name
    if kind == "structure":
        members, told = shape.members, {}
        for name, one in value.items():
            member = members.get(name)
            if one is not None and member is not None:
                told[name] = one if member.type_name in _AS_IT_IS else write(member, one, scalar)
        return told
    if kind == "list":
        member = shape.member
        return [write(member, one, scalar) for one in value]
    if kind == "map":
        inner = shape.value
        if inner.type_name == "string":
            return dict(value)
        return {key: write(inner, one, scalar) for key, one in value.items()}
    return scalar(kind, value) if kind in {"timestamp", "blob"} else value


def _of_type(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, kind):
        raise _unexpected(_NAMES[kind], value, path)
    return value


def _unexpected(wanted: str, value: Any, path: str) -> Unreadable:
    return Unreadable(
        f"'{path or 'the body'}' must be {wanted}, and is {_NAMES.get(type(value), type(value).__name__)}"
    )


def _fault(value: Any, path: str, constraint: str) -> str:
    text = str(value)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a model, which Java wrote: a hyphen after a class is a hyphen."""
    return re.compile(re.sub(r"(?<=[a-z0-9]-[a-z0-9])-(?=[_\]])", r"\\-", pattern, flags=re.IGNORECASE))
