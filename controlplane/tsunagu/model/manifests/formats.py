"""Reads manifests: YAML or JSON with a ``kind:`` and the ECS fields, or AWS's own files.

AWS's files are the input of ``aws ecs register-task-definition --cli-input-json`` and the output of ``describe-*``. The one
rule: documents or a ManifestError result from the text alone. Nothing is looked up, so a text means the same everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids, references
from tsunagu.model.ecs_constraints import ANSWERED
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests import aws_files, yaml_nodes
from tsunagu.model.manifests.decoder import Decoder, TooLargeError
from tsunagu.model.manifests.yaml_nodes import Place, Source
from tsunagu.model.rules.constraints import check_fields, words
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
    """One object that a user asks for."""

    kind: str
    name: str  # of the object; a TaskDefinition's is its family, a Service's CLUSTER/SERVICE
    message: Message  # of that kind, e.g. objects_pb2.Service
    file: str
    places: Mapping[str, Place]  # path of a field -> where it is in the file; "" is the document itself
    ignored: tuple[str, ...] = ()  # paths of fields that only AWS's output has
    revision: int = 0  # of a described task definition: AWS's number; else 0

    def locate(self, issue: Issue) -> Issue:
        """Return the issue with the place of its field, or of the innermost message around it that is in the file."""
        path = issue.path
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        at = self.places.get(path, Place(1, 1))
        return issue.at(self.file, at.line, at.column)


#: AWS's kinds: users write the fields of their ``spec``.
_OF_AWS = ("Cluster", "TaskDefinition", "Service")
#: Our own kinds: users write the fields of the message itself, and a ``name``.
_OF_OURS = ("Namespace", "Gateway", "Image")
_WRITTEN = (*_OF_AWS, *_OF_OURS)
_SETTINGS = "tsunagu"  # our own field of a Service


def read(sources: Iterable[Source]) -> tuple[Document, ...]:
    """Read every document of every text, in order. Raises ManifestError with all issues of all texts."""
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
    """Reads one YAML document. The output of describe-* may contain several objects."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._issues: list[Issue] = []
        self._documents: list[Document] = []

    def read(self, root: Node) -> tuple[list[Document], list[Issue]]:
        if not isinstance(root, MappingNode):
            self._report(root, f"a document is a mapping, this is {yaml_nodes.type_words(root)}")
        elif (kind := yaml_nodes.value_of(root, "kind")) is not None:
            self._read_kind(root, kind)
        else:
            self._read_aws_file(root)
        return self._documents, self._issues

    def _report(self, node: Node, message: str, suggestion: str = "", path: str = "") -> None:
        at = yaml_nodes.place(node)
        self._issues.append(Issue(self._file, at.line, at.column, path, message, suggestion))

    def _read_kind(self, root: MappingNode, written: Node) -> None:
        """Read a document that has a ``kind:``."""
        kind = written.value if isinstance(written, ScalarNode) else ""
        if kind in _OF_AWS:
            self._add_aws(kind, root)
        elif kind in _OF_OURS:
            self._add_ours(kind, root)
        else:
            self._report(
                written, f"there is no such kind; the kinds are {words(_WRITTEN)}", did_you_mean(kind, _WRITTEN), "kind"
            )

    def _read_aws_file(self, root: MappingNode) -> None:
        """Read one of AWS's own files: a request, or output with one or several objects."""
        wrapped = aws_files.answers(root)
        kind = aws_files.request_kind(root)
        for inner_kind, inner in wrapped:
            self._add_aws(inner_kind, inner)
        if not wrapped and kind:
            self._add_aws(kind, root)
        elif not wrapped:
            hint = f"begin it with one of: {words('kind: ' + one for one in _WRITTEN)}"
            self._report(root, "cannot tell what this is: it has no `kind`, and it is no file of AWS ECS", hint)

    def _add_aws(self, kind: str, node: Node) -> None:
        """Add an object of one of AWS's kinds, from a request or from output."""
        described = aws_files.is_answer(kind, node)
        request = aws_files.as_request(kind, node) if described and isinstance(node, MappingNode) else node
        message = ids.kind(kind).message()
        spec: Message = message.spec  # type: ignore[attr-defined]
        spec.SetInParent()
        passing = ANSWERED[spec.DESCRIPTOR.name] if described else ()
        decoder = Decoder(self._file)
        ignored = decoder.fill(spec, request, ignored=(*passing, "kind", *((_SETTINGS,) if kind == "Service" else ())))
        if kind == "Service" and (settings := yaml_nodes.value_of(node, _SETTINGS)) is not None:
            decoder.fill(message.settings, settings, _SETTINGS)  # type: ignore[attr-defined]
        self._keep(decoder, kind, message, ignored, aws_files.revision_of(node) if described else 0)

    def _add_ours(self, kind: str, node: MappingNode) -> None:
        """Add an object of one of our own kinds."""
        message = ids.kind(kind).message()
        decoder = Decoder(self._file)
        decoder.fill(message, node, ignored=("kind", "name"))
        self._keep(decoder, kind, message, [], own_name=_own_name(decoder, node, message))

    def _keep(
        self, decoder: Decoder, kind: str, message: Message, ignored: list[str], revision: int = 0, own_name: str = ""
    ) -> None:
        """Add the document, and the issues of decoding it and of checking its fields."""
        skipped = tuple(path for path in ignored if path not in ("kind", _SETTINGS))
        name = own_name or _aws_name(message)
        document = Document(kind, name, message, self._file, decoder.places, skipped, revision)
        self._issues += decoder.issues
        invalid = [document.locate(issue) for issue in check_fields(message)]
        self._issues += [one for one in invalid if not _is_consequence(one, decoder.issues)]
        self._documents.append(document)


def _is_consequence(found: Issue, causes: list[Issue]) -> bool:
    """Whether a field is missing only because the decoder has already reported its value."""
    return found.message.endswith("is missing") and any(
        cause.path and cause.path.rpartition(".")[0] == found.path for cause in causes
    )


def _own_name(decoder: Decoder, node: MappingNode, message: Message) -> str:
    """The name of an object of one of our kinds; empty if it is invalid, which is reported. An Image's default is its pattern."""
    name = yaml_nodes.value_of(node, "name")
    if name is None:
        if isinstance(message, objects_pb2.Image):
            return message.pattern
        decoder.report(node, "", "name is missing")
        return ""
    decoder.places["name"] = yaml_nodes.place(name)
    text = decoder.text(name, "name")
    if text is not None and not _NAME.fullmatch(text):
        decoder.report(name, "name", "it must be letters, digits, '_', '-' and '.'")
    return text or ""


def _aws_name(message: Message) -> str:
    """The name of an object of one of AWS's kinds, from its own fields. A cluster without a name is ``default``."""
    if isinstance(message, objects_pb2.Service):
        return ids.service_name(references.cluster_of(message.spec), message.spec.service_name)
    if isinstance(message, objects_pb2.Cluster):
        return message.spec.cluster_name or references.DEFAULT_CLUSTER
    return message.spec.family if isinstance(message, objects_pb2.TaskDefinition) else ""
