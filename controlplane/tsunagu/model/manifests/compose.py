"""Composes the text of a file into YAML nodes, each of which knows its line and column.

Ten thousand services in one file are to be read in seconds, and a file called .json is to be faulted in JSON's words. The
one rule: libyaml's parser is asked first, and whatever it refuses is parsed again by the pure one, whose messages and
places are the better ones. Both make the same nodes.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.model.errors import Issue
from tsunagu.model.manifests import templates, yaml_nodes

with suppress(ImportError):  # ruamel.yaml.clib has no binary for every Python
    from tsunagu.model.manifests import fast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.manifests.reading import Source

HAS_LIBYAML: Final = "fast" in globals()
#: Characters of one text; ten thousand services have seven million.
MOST_CHARACTERS: Final = 64 * 1024 * 1024
#: libyaml composes by recursion in C, whose stack ends without an exception; deeper text is left to the pure parser.
_DEEPEST_FAST = 200
#: The pure parser's time grows with the square of the depth, and no document nests like that.
_DEEPEST = 2000
_DEEP_BLOCK = re.compile(rf"^[ \-?:]{{{_DEEPEST_FAST},}}", re.MULTILINE)
_BRACKETS = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")  # an escape
_HALF = re.compile("[\ud800-\udfff]")
#: Characters that end a line in YAML and stand for themselves in a text of JSON -> their escapes.
_BREAKS = {0x85: r"\N", 0x2028: r"\L", 0x2029: r"\P"}
_COMMENT = re.compile(r"^\s*(//|/\*|#)")


def compose(source: Source) -> tuple[list[Node], list[Issue]]:
    """Return the root nodes of the documents in a text (without empty ones), and the issues of reading them."""
    text = source.text.removeprefix("\ufeff")
    if len(text) > MOST_CHARACTERS:
        return [], [Issue(source.name, 0, 0, "", f"is larger than {MOST_CHARACTERS // 1024 // 1024} MiB")]
    if source.name.endswith(".json") and text.strip() and (fault := _json_fault(source.name, text)):
        return [], [fault]
    if source.name.endswith(".json"):
        text = text.translate(_BREAKS)
    if text.lstrip().startswith(("{", "[")):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, and holds none within its texts
    try:
        nodes = _parsed(text)
    except RecursionError:
        return [], [Issue(source.name, 1, 1, "", "it is nested too deeply")]
    except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        return [], [_unreadable(source.name, text, error)]
    broken = _join_surrogates(source.name, nodes) if _SURROGATE.search(text) else []
    return [node for node in nodes if node is not None and not yaml_nodes.is_empty(node)], broken


def _parsed(text: str) -> list[Node | None]:
    depth = _depth(text)
    if depth > _DEEPEST:
        raise RecursionError
    if HAS_LIBYAML and depth <= _DEEPEST_FAST:
        try:
            return fast.nodes(text)
        except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError):
            pass  # the pure parser decides, and says why
    return list(YAML(typ="safe", pure=True).compose_all(text))


def _depth(text: str) -> int:
    """How deep a text may nest, at most: by its brackets, those in texts among them, and by its indentation."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):
        depth = depth + 1 if bracket[0] in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return max(deepest, max((len(one[0]) for one in _DEEP_BLOCK.finditer(text)), default=0))


def _json_fault(file: str, text: str) -> Issue | None:
    """The fault of a text that is to be JSON, in the words of JSON; None if it is JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except RecursionError:
        return Issue(file, 1, 1, "", "it is nested too deeply")
    except json.JSONDecodeError as error:
        words = error.msg[:1].lower() + error.msg[1:]
        return Issue(file, error.lineno, error.colno, "", f"is no JSON: {words}", _json_hint(text, error))
    return None


def _json_hint(text: str, error: json.JSONDecodeError) -> str:
    """What is probably wrong at the place of a JSON fault."""
    line = text.splitlines()[error.lineno - 1] if error.lineno <= len(text.splitlines()) else ""
    before = text[: error.pos].rstrip()
    if templates.sign_in(line):
        return templates.RENDER
    if _COMMENT.match(text[error.pos :]):
        return "JSON has no comments"
    if before.endswith(",") or text[error.pos :].lstrip().startswith(","):
        behind = text[error.pos :].lstrip(", \t\r\n")
        return "JSON has no comma after the last element" if behind[:1] in ("]", "}") else ""
    if "extra data" in error.msg.lower():
        return "a .json file holds one document: make a list of them, or two files"
    if "',' delimiter" in error.msg:
        return _comma_hint(text, before, error.pos)
    return 'JSON quotes names and texts with "' if text[error.pos : error.pos + 1] == "'" else ""


def _comma_hint(text: str, before: str, at: int) -> str:
    """Where a comma is missing, if what follows could be the next element; else what JSON has in such a place."""
    if text[at] not in '"{[-0123456789tfn':
        return "JSON has texts in double quotes, decimal numbers, true, false and null"
    line = before.count("\n") + 1
    if "\n" in text[len(before) : at]:
        return f"put a comma at the end of line {line}"
    return f"put a comma after column {len(before) - before.rfind(chr(10)) - 1}"


def _join_surrogates(file: str, roots: list[Node | None]) -> list[Issue]:
    """Join the surrogate pairs that JSON uses for characters beyond 16 bits, which YAML leaves apart.

    A lone surrogate is no text. It is reported and replaced, so that other errors can be reported too.
    """
    halves = []
    for node in _scalars(roots):
        node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if _HALF.search(node.value):
            at = yaml_nodes.place(node)
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


def _unreadable(file: str, text: str, error: Exception) -> Issue:
    """An issue with the YAML library's message, and its place if it names one."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if text.lstrip().startswith('{"') and (fault := _json_fault(file, text)):
        return fault
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    lines = text.splitlines()
    near = "\n".join(lines[max(0, line - 2) : line])
    return Issue(file, line, column, "", f"this is neither YAML nor JSON: {problem}", templates.hint(near))
