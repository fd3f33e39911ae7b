"""Reads what users write: YAML or JSON of ``kind:`` plus the ECS shape, or a bare AWS file.

A bare file is what one gives to ``aws ecs register-task-definition --cli-input-json`` or gets from ``describe-*``. The one
rule: text comes in, documents or a ManifestError go out; nothing is looked up, so a text means the same everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids, references
from tsunagu.model.ecs_shapes import ANSWERED
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests import aws_files, yaml_nodes
from tsunagu.model.manifests.decoder import TooLargeError, Walk
from tsunagu.model.manifests.yaml_nodes import Place, Source
from tsunagu.model.rules.constraints import check_members, words
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

__all__ = ["SUFFIXES", "Document", "Place", "Source", "read"]

#: Files with these endings are manifests.
SUFFIXES = (".yaml", ".yml", ".json")


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that a user asks for."""

    kind: str
    name: str  # of the object; a TaskDefinition's is its family, a Service's CLUSTER/SERVICE
    message: Message  # of that kind, e.g. objects_pb2.Service
    file: str
    places: Mapping[str, Place]  # path of a member -> where it stands; "" is the document itself
    ignored: tuple[str, ...] = ()  # members that only AWS's answers have
    revision: int = 0  # of a described task definition: its number in AWS

    def locate(self, issue: Issue) -> Issue:
        """The issue with the place of its member, or of the nearest thing around it."""
        path = issue.path
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        at = self.places.get(path, Place(1, 1))
        return issue.at(self.file, at.line, at.column)


#: Kinds that AWS has: one writes the members of their ``spec``.
_OF_AWS = ("Cluster", "TaskDefinition", "Service")
#: Kinds that are ours: one writes their own members, and a ``name``.
_OF_OURS = ("Namespace", "Gateway", "Image")
_WRITTEN = (*_OF_AWS, *_OF_OURS)
_SETTINGS = "tsunagu"  # the member of a Service that AWS does not have


def read(sources: Iterable[Source]) -> tuple[Document, ...]:
    """Every document of every text, in order. Raises ManifestError with all that is wrong in any of them."""
    documents: list[Document] = []
    issues: list[Issue] = []
    for source in sources:
        roots, unreadable = yaml_nodes.compose(source)
        issues += unreadable
        for root in roots:
            found, wrong = _read_root(source.name, root)
            documents += found
            issues += wrong
    if issues:
        raise ManifestError(sorted(issues, key=lambda one: (one.file, one.line, one.column)))
    return tuple(documents)


def _read_root(file: str, root: Node) -> tuple[list[Document], list[Issue]]:
    try:
        return _Reader(file).read(root)
    except (TooLargeError, RecursionError):
        at = yaml_nodes.place(root)
        return [], [Issue(file, at.line, at.column, "", "the document is too large")]


class _Reader:
    """Reads one YAML document, which describe-* may have filled with several things."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._issues: list[Issue] = []
        self._documents: list[Document] = []

    def read(self, root: Node) -> tuple[list[Document], list[Issue]]:
        if not isinstance(root, MappingNode):
            self._fault(root, f"a document is a mapping, this is {yaml_nodes.type_words(root)}")
        elif (kind := yaml_nodes.member(root, "kind")) is not None:
            self._written(root, kind)
        else:
            self._bare(root)
        return self._documents, self._issues

    def _fault(self, node: Node, message: str, suggestion: str = "", path: str = "") -> None:
        at = yaml_nodes.place(node)
        self._issues.append(Issue(self._file, at.line, at.column, path, message, suggestion))

    def _written(self, root: MappingNode, said: Node) -> None:
        """A document with ``kind:``."""
        kind = said.value if isinstance(said, ScalarNode) else ""
        if kind in _OF_AWS:
            self._add_aws(kind, root)
        elif kind in _OF_OURS:
            self._add_ours(kind, root)
        else:
            self._fault(
                said, f"there is no such kind; the kinds are {words(_WRITTEN)}", did_you_mean(kind, _WRITTEN), "kind"
            )

    def _bare(self, root: MappingNode) -> None:
        """A file of AWS's: a request, or an answer that wraps one or several."""
        wrapped = aws_files.answers(root)
        kind = aws_files.request_kind(root)
        for inner_kind, inner in wrapped:
            self._add_aws(inner_kind, inner)
        if not wrapped and kind:
            self._add_aws(kind, root)
        elif not wrapped:
            hint = f"begin it with one of: {words('kind: ' + one for one in _WRITTEN)}"
            self._fault(root, "cannot tell what this is: it has no `kind`, and it is no file of AWS ECS", hint)

    def _add_aws(self, kind: str, node: Node) -> None:
        """One thing in AWS's shape, asked for or described."""
        described = aws_files.is_answer(kind, node)
        request = aws_files.as_request(kind, node) if described and isinstance(node, MappingNode) else node
        message = ids.kind(kind).message()
        spec: Message = message.spec  # type: ignore[attr-defined]
        spec.SetInParent()
        passing = ANSWERED[spec.DESCRIPTOR.name] if described else ()
        walk = Walk(self._file)
        ignored = walk.fill(spec, request, ignored=(*passing, "kind", *((_SETTINGS,) if kind == "Service" else ())))
        if kind == "Service" and (settings := yaml_nodes.member(node, _SETTINGS)) is not None:
            walk.fill(message.settings, settings, _SETTINGS)  # type: ignore[attr-defined]
        self._keep(walk, kind, message, ignored, aws_files.revision_of(node) if described else 0)

    def _add_ours(self, kind: str, node: MappingNode) -> None:
        """One thing in our shape."""
        message = ids.kind(kind).message()
        walk = Walk(self._file)
        walk.fill(message, node, ignored=("kind", "name"))
        self._keep(walk, kind, message, [], own_name=_own_name(walk, node, message))

    def _keep(
        self, walk: Walk, kind: str, message: Message, ignored: list[str], revision: int = 0, own_name: str = ""
    ) -> None:
        """Makes the document, checks each of its members, keeps both."""
        passed = tuple(path for path in ignored if path not in ("kind", _SETTINGS))
        name = own_name or _aws_name(message)
        document = Document(kind, name, message, self._file, walk.places, passed, revision)
        self._issues += walk.issues
        faults = [document.locate(issue) for issue in check_members(message)]
        self._issues += [one for one in faults if not _is_consequence(one, walk.issues)]
        self._documents.append(document)


def _is_consequence(fault: Issue, causes: list[Issue]) -> bool:
    """Whether a member is missing only because the walk could not take it as it stands."""
    return fault.message.endswith("is missing") and any(
        cause.path and cause.path.rpartition(".")[0] == fault.path for cause in causes
    )


def _own_name(walk: Walk, node: MappingNode, message: Message) -> str:
    """The name that one of our kinds is given; empty after a fault. An Image may go by its pattern."""
    name = yaml_nodes.member(node, "name")
    if name is None:
        if isinstance(message, objects_pb2.Image):
            return message.pattern
        walk.fault(node, "", "name is missing")
        return ""
    walk.places["name"] = yaml_nodes.place(name)
    said = walk.text(name, "name")
    if said is not None and not _NAME.fullmatch(said):
        walk.fault(name, "name", "it must be letters, digits, '_', '-' and '.'")
    return said or ""


def _aws_name(message: Message) -> str:
    """The name of one of AWS's objects, from its own member. A cluster without one is AWS's ``default``."""
    if isinstance(message, objects_pb2.Service):
        return ids.service_name(references.cluster_of(message.spec), message.spec.service_name)
    if isinstance(message, objects_pb2.Cluster):
        return message.spec.cluster_name or references.DEFAULT_CLUSTER
    return message.spec.family if isinstance(message, objects_pb2.TaskDefinition) else ""
