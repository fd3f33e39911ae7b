"""The same bytes as the library's, for whatever a message may hold."""
# ruff: noqa: RUF009 - betterproto2's field() is a dataclass field

import dataclasses
from datetime import timedelta

import betterproto2
import pytest
from betterproto2 import field, map_meta
from envoy_data_plane.google.protobuf import BoolValue, DoubleValue, Duration, Struct, UInt32Value
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.translate import wire


class Colour(betterproto2.Enum):
    NONE = 0
    RED = 1
    FAR = 300
    BELOW = -1


@dataclasses.dataclass(eq=False, repr=False)
class Everything(betterproto2.Message):
    """A field of each kind that a message may have."""

    text: str = field(1, "string")
    raw: bytes = field(2, "bytes")
    flag: bool = field(3, "bool")
    signed: int = field(4, "int64")
    unsigned: int = field(5, "uint64")
    zigzag: int = field(6, "sint64")
    small_zigzag: int = field(7, "sint32")
    fixed_32: int = field(8, "fixed32")
    fixed_64: int = field(9, "fixed64")
    signed_fixed_32: int = field(10, "sfixed32")
    signed_fixed_64: int = field(11, "sfixed64")
    single: float = field(12, "float")
    double: float = field(13, "double")
    colour: Colour = field(14, "enum", default_factory=lambda: Colour(0))
    maybe: int | None = field(15, "uint32", optional=True)
    one: str | None = field(16, "string", group="choice")
    other: "Everything | None" = field(17, "message", group="choice")
    inner: "Everything | None" = field(18, "message")
    texts: list[str] = field(19, "string", repeated=True)
    numbers: list[int] = field(20, "int32", repeated=True)
    doubles: list[float] = field(21, "double", repeated=True)
    inners: "list[Everything]" = field(22, "message", repeated=True)
    wait: timedelta | None = field(23, "message", unwrap=lambda: Duration, optional=True)
    limit: int | None = field(24, "message", unwrap=lambda: UInt32Value, optional=True)
    share: float | None = field(25, "message", unwrap=lambda: DoubleValue, optional=True)
    sure: bool | None = field(26, "message", unwrap=lambda: BoolValue, optional=True)
    counts: dict[str, int] = field(27, "map", map_meta=map_meta("string", "uint32"))
    named: "dict[int, Everything]" = field(28, "map", map_meta=map_meta("int32", "message"))
    waits: dict[str, timedelta] = field(200, "map", map_meta=map_meta("string", "message", unwrap_2=lambda: Duration))


def integers(bits, *, signed):
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


DURATIONS = st.timedeltas(timedelta(0), timedelta(days=1000))
FLAT = {
    "text": st.text(max_size=200),
    "raw": st.binary(max_size=200),
    "flag": st.booleans(),
    "signed": integers(64, signed=True),
    "unsigned": integers(64, signed=False),
    "zigzag": integers(64, signed=True),
    "small_zigzag": integers(32, signed=True),
    "fixed_32": integers(32, signed=False),
    "fixed_64": integers(64, signed=False),
    "signed_fixed_32": integers(32, signed=True),
    "signed_fixed_64": integers(64, signed=True),
    "single": st.floats(width=32),
    "double": st.floats(),
    "colour": st.sampled_from(Colour),
    "maybe": st.none() | integers(32, signed=False),
    "one": st.none() | st.text(max_size=9),
    "texts": st.lists(st.text(max_size=9), max_size=3),
    "numbers": st.lists(integers(32, signed=True), max_size=3),
    "doubles": st.lists(st.floats(), max_size=3),
    "wait": st.none() | DURATIONS,
    "limit": st.none() | integers(32, signed=False),
    "share": st.none() | st.floats(),
    "sure": st.none() | st.booleans(),
    "counts": st.dictionaries(st.text(max_size=9), integers(32, signed=False), max_size=3),
    "waits": st.dictionaries(st.text(max_size=9), DURATIONS, max_size=3),
}
LEAVES = st.fixed_dictionaries({}, optional=FLAT).map(lambda values: Everything(**values))


def deeper(inner):
    nested = {
        "other": st.none() | inner,
        "inner": st.none() | inner,
        "inners": st.lists(inner, max_size=3),
        "named": st.dictionaries(integers(32, signed=True), inner, max_size=3),
    }
    return st.fixed_dictionaries({}, optional={**FLAT, **nested}).map(lambda values: Everything(**values))


@given(st.recursive(LEAVES, deeper, max_leaves=8))
def test_any_message_has_the_librarys_bytes(message):
    assert wire.encode(message) == bytes(message)


def test_what_a_parsed_message_did_not_know_is_kept():
    known_to_others = Everything(text="a", waits={"x": timedelta(seconds=1)})

    @dataclasses.dataclass(eq=False, repr=False)
    class Less(betterproto2.Message):
        text: str = field(1, "string")

    assert wire.encode(Less.parse(bytes(known_to_others))) == bytes(known_to_others)


def test_values_of_any_shape():
    shape = Struct.from_dict({"a": None, "b": [1, True, "x", {"c": {}}], "d": 0.0})
    assert wire.encode(shape) == bytes(shape)


@pytest.mark.parametrize(
    ("name", "value"), [("text", 5), ("text", b"x"), ("raw", "x"), ("raw", 5), ("signed", "x"), ("inner", "x")]
)
def test_what_is_not_what_the_field_says_is_an_error(name, value):
    with pytest.raises((TypeError, AttributeError)):
        wire.encode(Everything(**{name: value}))
