"""Reads App Mesh's own JSON: what its commands take (`--cli-input-json`) and what its `describe-*` answer.

The one rule: a member that App Mesh does not have is an issue, with its place and the nearest name, so that a slip of the
pen is not taken for a member that has no meaning here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from tsunagu.appmesh.shapes import Member, members
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Kind -> the member that holds its name; `describe-*` wraps an object in its kind, in lower case at first. A kind whose
#: objects name one of another, too (a Route names its VirtualRouter), stands before that.
KINDS: Final[dict[str, str]] = {
    "VirtualNode": "virtualNodeName",
    "VirtualService": "virtualServiceName",
    "GatewayRoute": "gatewayRouteName",
    "Route": "routeName",
    "VirtualRouter": "virtualRouterName",
    "VirtualGateway": "virtualGatewayName",
    "Mesh": "meshName",
}
#: What an answer has beside what a request has.
_OF_ANSWERS: Final = frozenset({"metadata", "status"})
_TYPES: Final[dict[str, tuple[type, str]]] = {
    "text": (str, "a text"),
    "number": (int, "a number"),
    "flag": (bool, "true or false"),
    "part": (dict, "an object"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A structure of an App Mesh object; `path` names it within the object."""

    shape: str
    values: Mapping[str, Any]
    file: str
    path: str = ""

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a text, number, flag, or list of them."""
        return self.values.get(name, default)

    def part(self, name: str) -> Part:
        """The structure of that name; an empty one if it is not there."""
        return self._inner(name, self.get(name) or {}, "")

    def parts(self, name: str) -> list[Part]:
        return [self._inner(name, each, f"[{index}]") for index, each in enumerate(self.get(name) or ())]

    def issue(self, name: str, message: str, suggestion: str = "") -> Issue:
        """What is wrong with a member, at its place."""
        line, column = _place(self.values, name)
        return Issue(self.file, line, column, f"{self.path}.{name}".strip("."), message, suggestion)

    def _inner(self, name: str, values: Mapping[str, Any], index: str) -> Part:
        path = f"{self.path}.{name}{index}".strip(".")
        return Part(members(self.shape)[name].shape, values, self.file, path)


@dataclass(frozen=True, slots=True)
class Found:
    """One object: its kind (`VirtualNode`), name, mesh, and body: the members of the request that makes it."""

    kind: str
    name: str
    mesh: str
    body: Part

    @property
    def spec(self) -> Part:
        return self.body.part("spec")

    @property
    def origin(self) -> str:
        """FILE: appmesh/KIND NAME; xDS has kinds of the same names."""
        return f"{self.body.file}: appmesh/{self.kind} {self.name}"


def load(file: str, text: str) -> Any:
    """The content of a JSON (or YAML) text, with places. Returns an Issue if it is neither."""
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return Issue(file, line, column, "", f"is neither JSON nor YAML: {error.problem}")


def read(file: str, content: Any) -> Found | Issue | None:
    """The object in the content of a file; None if it is none of App Mesh's."""
    if not isinstance(content, dict):
        return None
    for kind, name in KINDS.items():
        wrapped = content.get(kind[0].lower() + kind[1:])
        body = wrapped if isinstance(wrapped, dict) and name in wrapped else content
        if name in body:
            return _found(kind, Part(f"Create{kind}Input", body, file))
    listed = [kind for kind in KINDS if f"{kind[0].lower()}{kind[1:]}s" in content]
    if listed:
        hint = f"ask for each: `aws appmesh describe-{_dashed(listed[0])}`"
        return Issue(file, 1, 1, "", "lists names; it does not say what they are", hint)
    return None


def check(found: Found) -> list[Issue]:
    """Everything that is wrong with the members of an object: names, types, and what is missing."""
    return list(_check(found.body, extra=_OF_ANSWERS))


def _check(part: Part, extra: frozenset[str] = frozenset()) -> Iterator[Issue]:
    known = members(part.shape)
    for name, value in part.values.items():
        if name in known:
            yield from _check_member(part, known[name], value)
        elif name not in extra:
            yield part.issue(str(name), "App Mesh has no such member", did_you_mean(str(name), known))
    for member in known.values():
        if member.required and member.name not in part.values:
            yield part.issue(member.name, "is missing")


def _check_member(part: Part, member: Member, value: Any) -> Iterator[Issue]:
    of_type, words = _TYPES[member.kind]
    if member.many and not isinstance(value, list):
        yield part.issue(member.name, "must be a list")
        return
    values: list[Any] = value if member.many else [value]
    for index, each in enumerate(values):
        if not _is_of(each, of_type):
            yield part.issue(member.name, f"must be {words}")
        elif member.kind == "part":
            suffix = f"[{index}]" if member.many else ""
            yield from _check(Part(member.shape, each, part.file, f"{part.path}.{member.name}{suffix}".strip(".")))


def _is_of(value: Any, of_type: type) -> bool:
    """Whether a value has the type; to Python, true is a number."""
    return isinstance(value, of_type) and isinstance(value, bool) == (of_type is bool)


def _found(kind: str, body: Part) -> Found | Issue:
    problem = next((one for one in (KINDS[kind], "meshName") if not isinstance(body.get(one), str)), None)
    if problem is not None:
        return body.issue(problem, "must be the name of one, a text")
    return Found(kind, body.get(KINDS[kind]), body.get("meshName"), body)


def _dashed(kind: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).strip("-")


def _place(values: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Line and column, from 1, of a member; of the structure if it does not have it."""
    if not isinstance(values, CommentedMap):
        return 0, 0
    line, column = values.lc.key(name) if name in values else (values.lc.line, values.lc.col)
    return line + 1, column + 1
