"""Text as YAML nodes, each of which knows its line and column. JSON is YAML.

The one rule: nothing is guessed. A plain ``8080`` is a number and ``"8080"`` a text, as in JSON; a key stands once;
whatever the YAML library raises on odd text becomes an issue with a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTEGER = re.compile(r"[-+]?[0-9]{1,19}")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?")
_SURROGATE = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")  # an escape
_HALF = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be read, and what to call it in errors (a file's name)."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; line and column count from 1."""

    line: int
    column: int


Pairs = list[tuple[Node, Node]]


def compose(source: Source) -> tuple[list[Node], list[Issue]]:
    """The root node of every document of a text that is not empty, or why it cannot be read."""
    text = source.text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, and holds none within its texts
    try:
        nodes: list[Node | None] = list(YAML(typ="safe", pure=True).compose_all(text))
    except RecursionError:
        return [], [Issue(source.name, 1, 1, "", "it is nested too deeply")]
    except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        return [], [_unreadable(source.name, error)]
    broken = _join_surrogates(source.name, nodes) if _SURROGATE.search(text) else []
    return [node for node in nodes if node is not None and not is_empty(node)], broken


def _join_surrogates(file: str, roots: list[Node | None]) -> list[Issue]:
    """JSON writes what is beyond 16 bits as two halves, which YAML does not join. A half by itself is no text: it is told,
    and replaced, so that what else is wrong can be told too.
    """
    halves = []
    for node in _scalars(roots):
        node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if _HALF.search(node.value):
            at = place(node)
            halves.append(Issue(file, at.line, at.column, "", "holds half a surrogate pair, which is no text"))
            node.value = _HALF.sub("\N{REPLACEMENT CHARACTER}", node.value)
    return halves


def _scalars(roots: list[Node | None]) -> Iterator[ScalarNode]:
    """Every scalar, once: an alias is its anchor's node."""
    left, seen = list(roots), set[int]()
    while left:
        node = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            left += [one for pair in reversed(node.value) for one in reversed(pair)]
        elif isinstance(node, SequenceNode):
            left += reversed(node.value)
        elif isinstance(node, ScalarNode):
            yield node


def _unreadable(file: str, error: Exception) -> Issue:
    """The library's own words, with its place when it says one."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Issue(file, line, column, "", f"this is neither YAML nor JSON: {said}")


def place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def is_empty(node: Node | None) -> bool:
    return node is None or (isinstance(node, ScalarNode) and not node.style and node.value in ("", "~", "null"))


def scalar(node: ScalarNode) -> str | int | float | bool | None:
    """The value as JSON would have it: only what is quoted, or nothing else, is a text."""
    text: str = node.value
    if node.style or str(node.tag) == "tag:yaml.org,2002:str":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def type_words(node: Node) -> str:
    """What a node is, for "expected a number, this is ..."."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    value = scalar(node) if isinstance(node, ScalarNode) else None
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "empty"
    return f"the number {node.value}" if isinstance(value, (int, float)) else f"the text {_short(node.value)}"


def _short(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 and "\n" not in text else "..."


def key_text(node: Node) -> str | None:
    """A mapping's key, when it is a text."""
    return node.value if isinstance(node, ScalarNode) else None


def member(node: Node, key: str) -> Node | None:
    """The value of a mapping's key, or None."""
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if key_text(name) == key:
                found: Node = value
                return found
    return None


def items(node: Node | None) -> Iterator[Node]:
    """The elements of a list; nothing when it is none."""
    if isinstance(node, SequenceNode):
        yield from node.value


def with_pairs(node: MappingNode, pairs: Pairs) -> MappingNode:
    """A mapping at the same place with other members."""
    made: Any = MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
    checked: MappingNode = made
    return checked
