"""Reads a YAML node as a value of one of protobuf's scalar types, an enum, a duration or a time.

Rule: as in protobuf's JSON, numbers may stand in quotes and durations are texts such as "1.5s"; a text is what is quoted, or
cannot be a number. Whatever else stands there is a Fault, which says what was expected.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.kit.spelling import did_you_mean

BOOLS = {"true": True, "false": False}

_DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)s")
_NULL = ("", "~", "null")
_FLOATS = ("float", "double")
_UNSIGNED = ("uint32", "uint64", "fixed32", "fixed64")


class Fault(ValueError):
    """A value that is not what its field wants."""


def enum_value(kind: Any, node: Node) -> Any:
    """Return the member of an enum. Raises Fault."""
    text = text_of(node) if isinstance(node, ScalarNode) else ""
    for name in (text, text.removeprefix(f"{_upper(kind.__name__)}_")):
        if name in kind.__members__:
            return kind[name]
    if re.fullmatch("[0-9]+", text):
        return kind(int(text))
    hint = did_you_mean(text, kind.__members__, f"it is one of {', '.join(kind.__members__)}")
    raise Fault(f"{words_for(node)} is none of its values: {hint}")


def scalar(kind: str, node: Node) -> Any:
    """Return a value of a scalar type, by protobuf's name of it (uint32). Raises Fault."""
    if not isinstance(node, ScalarNode):
        raise Fault(f"expected {_wanted(kind)}, this is {words_for(node)}")
    text, quoted = str(node.value), bool(node.style)
    if kind == "string" and (quoted or not is_number(text)):
        return text
    if kind == "bytes":
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Fault("expected bytes in base64") from None
    if kind == "bool" and not quoted and text in BOOLS:
        return BOOLS[text]
    if kind in _FLOATS and re.fullmatch(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]{1,3})?", text):
        return _number(text, float)
    if kind not in ("string", "bool", *_FLOATS) and re.fullmatch(r"-?[0-9]{1,20}", text):
        return _in_range(kind, int(text))
    raise Fault(f"expected {_wanted(kind)}, this is {words_for(node)}")


def _number(text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Fault(f"expected a number, this is {text}") from None


def _in_range(kind: str, number: int) -> int:
    bits = 64 if kind.endswith("64") else 32
    least, most = (0, 2**bits - 1) if kind in _UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not least <= number <= most:
        raise Fault(f"{number} is not between {least} and {most}")
    return number


def duration(node: Node) -> timedelta:
    """Return a google.protobuf.Duration. Raises Fault."""
    match = _DURATION.fullmatch(text_of(node))
    if not match:
        raise Fault(f"expected a duration such as 1.5s, this is {words_for(node)}")
    return timedelta(seconds=float(match[1]))


def time_value(node: Node) -> datetime:
    """Return a google.protobuf.Timestamp. Raises Fault."""
    try:
        return datetime.fromisoformat(text_of(node))
    except ValueError:
        raise Fault(f"expected a time such as 2026-01-31T12:00:00Z, this is {words_for(node)}") from None


def text_of(node: Node) -> str:
    """Return the text of a scalar; empty for anything else."""
    return str(node.value) if isinstance(node, ScalarNode) else ""


def is_quoted(node: Node) -> bool:
    """Return whether a scalar is written as a text."""
    return isinstance(node, ScalarNode) and bool(node.style)


def is_null(node: Node) -> bool:
    """Return whether a node says that there is no value."""
    return isinstance(node, ScalarNode) and not node.style and node.value in _NULL


def is_number(text: str) -> bool:
    """Return whether a text without quotes is a number."""
    return re.fullmatch(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", text) is not None


def words_for(node: Node) -> str:
    """Describe a node, for messages like "expected a number, this is ..."."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    text = text_of(node)
    shown = text if len(text) <= 40 and "\n" not in text else f"{text[:40].splitlines()[0]}..."
    return "empty" if is_null(node) else shown if not is_quoted(node) and is_number(text) else f'"{shown}"'


def _wanted(kind: str) -> str:
    return {"string": "a text", "bool": "true or false", "bytes": "bytes in base64"}.get(
        kind, "a number" if kind in _FLOATS else "a whole number"
    )


def _upper(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
