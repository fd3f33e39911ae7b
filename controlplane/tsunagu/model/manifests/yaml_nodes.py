"""Reads YAML nodes: values, keys, elements, places. JSON is YAML.

The one rule: nothing is guessed. As in JSON, an unquoted ``8080`` is a number and ``"8080"`` a text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.model.manifests.reading import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTEGER = re.compile(r"[-+]?[0-9]{1,19}")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?")
_NULL = frozenset({"null", "Null", "NULL", "~", ""})
_WORDS: dict[str, bool | None] = {"true": True, "false": False, **dict.fromkeys(_NULL)}


Pairs = list[tuple[Node, Node]]


def place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def is_empty(node: Node | None) -> bool:
    return node is None or (
        isinstance(node, ScalarNode) and not node.style and node.value in _NULL and own_tag(node) is None
    )


def own_tag(node: Node) -> str | None:
    """The tag of a node that is none of YAML's own, e.g. CloudFormation's ``!Ref``; None if it has none."""
    tag = str(node.tag)
    return tag if tag.startswith("!") and tag != "!" else None


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


def key_texts(node: Node) -> list[str]:
    """The keys of a mapping that are texts; none if it is no mapping."""
    keys = (key_text(key) for key, _ in node.value) if isinstance(node, MappingNode) else ()
    return [key for key in keys if key is not None]


def text_of(node: Node | None) -> str:
    """The text of a scalar; empty if it is none."""
    return node.value if isinstance(node, ScalarNode) else ""


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
