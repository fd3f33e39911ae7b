"""Parses text into YAML nodes, each of which knows its line and column. JSON is YAML.

The one rule: nothing is guessed. As in JSON, an unquoted ``8080`` is a number and ``"8080"`` a text. Whatever the YAML
library raises becomes an issue with a place.
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
    """Where something is in a text; line and column count from 1."""

    line: int
    column: int


Pairs = list[tuple[Node, Node]]


def compose(source: Source) -> tuple[list[Node], list[Issue]]:
    """Return the root nodes of the documents in a text (without empty ones), and the issues of reading them."""
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
    """Join the surrogate pairs that JSON uses for characters beyond 16 bits, which YAML leaves apart.

    A lone surrogate is no text. It is reported and replaced, so that other errors can be reported too.
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
    """Every scalar node, once: an alias is the node of its anchor."""
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
    """An issue with the YAML library's message, and its place if it names one."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Issue(file, line, column, "", f"this is neither YAML nor JSON: {problem}")


def place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def is_empty(node: Node | None) -> bool:
    return node is None or (isinstance(node, ScalarNode) and not node.style and node.value in ("", "~", "null"))


def scalar(node: ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar by JSON's rules: a text is what is quoted, or cannot be anything else."""
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
    """Describe a node, for messages like "expected a number, this is ..."."""
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
    """The text of a mapping's key; None if it is no scalar."""
    return node.value if isinstance(node, ScalarNode) else None


def value_of(node: Node, key: str) -> Node | None:
    """The value of a mapping's key, or None."""
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if key_text(name) == key:
                found: Node = value
                return found
    return None


def items(node: Node | None) -> Iterator[Node]:
    """The elements of a list; none if the node is no list."""
    if isinstance(node, SequenceNode):
        yield from node.value


def with_pairs(node: MappingNode, pairs: Pairs) -> MappingNode:
    """Return a mapping at the same place with other entries."""
    made: Any = MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
    checked: MappingNode = made
    return checked
