"""Turns documents of a known kind into objects: decodes their fields, names them, checks each field by itself.

The one rule: an object is added even if its fields have faults, so that faults of references are found in the same run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.model import ids, references
from tsunagu.model.errors import Issue
from tsunagu.model.manifests import aws_files, overrides, templates, yaml_nodes
from tsunagu.model.manifests.decoder import Decoder
from tsunagu.model.manifests.reading import CommandLine, Document
from tsunagu.model.rules.constraints import check_fields
from tsunagu.v1 import alarms_pb2, objects_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

_NO_COMMAND = re.compile(r"container .* has no command")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")

#: AWS's kinds: users write the fields of their ``spec``.
OF_AWS = ("Cluster", "TaskDefinition", "Alarm", "Service")
#: Our own kinds: users write the fields of the message itself, and a ``name``.
OF_OURS = (
    "Namespace",
    "Gateway",
    "Image",
    "CloudMapService",
    "CloudMapInstance",
    "External",
    "Route",
    "TrafficPolicy",
    "AccessPolicy",
    overrides.KIND,
)
#: The names of those that are not just one word: a pattern, and what it asks for.
_PLACED = {
    "CloudMapService": (re.compile(r"[^/\s]+/[^/\s]+"), "it must be NAMESPACE/NAME"),
    "External": (
        re.compile(r"[^/\s]+/[a-z0-9_][a-z0-9_-]{0,63}"),
        "it must be NAMESPACE/NAME, NAME of lowercase letters, digits, '_' and '-'",
    ),
    "Route": (re.compile(r"[^/\s]+/[a-z0-9_][a-z0-9_.-]{0,127}"), "it must be NAMESPACE/NAME"),
    "AccessPolicy": (re.compile(r"[^/\s]+/[a-z0-9_][a-z0-9_.-]{0,127}"), "it must be NAMESPACE/NAME"),
    "TrafficPolicy": (re.compile(r"[^/\s]+/[^/\s]+"), "it must be NAMESPACE/DISCOVERYNAME"),
    "CloudMapInstance": (re.compile(r"[^/\s]+/[^/\s]+/\S+"), "it must be NAMESPACE/SERVICE/ID"),
}
_SETTINGS = "tsunagu"  # our own field of a Service


class Objects:
    """Collects the objects of all documents. Invariant: ``issues`` has every fault of the documents added so far."""

    def __init__(self, names: CommandLine) -> None:
        self._names = names
        self.documents: list[Document] = []
        self.issues: list[Issue] = []
        self.maybe_template = True  # whether the text that is read now can hold signs of a template

    def add(self, file: str, kind: str, node: Node) -> None:
        """Add the object of one document."""
        if kind in OF_AWS:
            self._add_aws(file, kind, node)
        else:
            self._add_ours(file, kind, node)

    def _add_aws(self, file: str, kind: str, node: Node) -> None:
        """Add an object of one of AWS's kinds, from a request, an update or output."""
        described = aws_files.is_answer(kind, node)
        request = aws_files.as_request(kind, node) if isinstance(node, MappingNode) else node
        message = ids.kind(kind).message()
        spec: Message = message.spec  # type: ignore[attr-defined]
        spec.SetInParent()
        decoder = Decoder(file, lenient=described)
        settings = (_SETTINGS,) if kind == "Service" else ()
        ignored = decoder.fill(
            spec, request, ignored=(*aws_files.ignored_fields(kind, described=described), "kind", *settings)
        )
        if settings and (written := yaml_nodes.value_of(node, _SETTINGS)) is not None:
            decoder.fill(message.settings, written, _SETTINGS)  # type: ignore[attr-defined]
        revision = aws_files.revision_of(node) if described else 0
        self._keep(decoder, kind, message, ignored, revision=revision, named_outside=self._name(message))

    def _name(self, message: Message) -> bool:
        """Give a service what the command line says and its file does not. Return whether it got its name so."""
        if not isinstance(message, objects_pb2.Service):
            return False
        spec = message.spec
        if self._names.cluster and not spec.cluster:
            spec.cluster = self._names.cluster
        if spec.service_name or not self._names.service:
            return False
        spec.service_name = self._names.service
        return True

    def leftovers(self) -> list[Issue]:
        """The issues of a name that is no service's, or several services'."""
        option = f"--service-name {self._names.service}"
        named = [one for one in self.documents if one.named_outside]
        if len(named) > 1:
            files = ", ".join(dict.fromkeys(one.file for one in named))
            return [Issue("", 0, 0, "", f"{option} names one service, and {len(named)} have no name: {files}")]
        if self._names.service and not named:
            return [Issue("", 0, 0, "", f"{option} names nothing: no service here is without a name", "leave it out")]
        return []

    def _add_ours(self, file: str, kind: str, node: Node) -> None:
        """Add an object of one of our own kinds."""
        message = objects_pb2.Override() if kind == overrides.KIND else ids.kind(kind).message()
        decoder = Decoder(file)
        decoder.fill(message, _as_written(kind, node), ignored=("kind", "name"))
        self._keep(decoder, kind, message, [], own_name=_own_name(decoder, node, message))

    def _keep(self, decoder: Decoder, kind: str, message: Message, ignored: list[str], **more: Any) -> None:
        """Add the document, and the issues of decoding it and of checking its fields. ``more``: fields of the Document."""
        name = more.pop("own_name", "") or _aws_name(message)
        document = Document(
            kind,
            name,
            message,
            decoder.file,
            decoder.places,
            ignored=tuple(path for path in ignored if path not in ("kind", _SETTINGS)),
            empty=tuple(decoder.empty),
            unknown=tuple(decoder.unknown),
            faults=tuple(one.path for one in decoder.issues),
            unrendered=tuple(templates.unrendered(getattr(message, "spec", message))) if self.maybe_template else (),
            **more,
        )
        self.issues += decoder.issues
        invalid = [document.locate(issue) for issue in check_fields(message)]
        if document.named_outside:  # its family is the only one of all files, which is not known yet
            invalid = [one for one in invalid if one.message != "taskDefinition is missing"]
        self.issues += [one for one in invalid if not is_consequence(one, document.faults)]
        self.documents.append(document)


def is_consequence(found: Issue, faults: tuple[str, ...]) -> bool:
    """Whether a field is missing, or a container without a command, only because the decoder has already reported its value."""
    if _NO_COMMAND.search(found.message):
        container = found.path.removesuffix(".image")
        return any(fault in (f"{container}.command", f"{container}.entryPoint") for fault in faults)
    return found.message.endswith("is missing") and any(
        fault and found.path in (fault, fault.rpartition(".")[0]) for fault in faults
    )


def _as_written(kind: str, node: Node) -> Node:
    """An Image's healthCheck may be written as `none`, or as its command alone: as ECS's shape."""
    if kind != "Image" or not isinstance(node, MappingNode):
        return node
    pairs: yaml_nodes.Pairs = []
    for key, value in node.value:
        checks = yaml_nodes.key_text(key) == "healthCheck"
        pairs.append((key, _health_check(value) if checks else value))
    return yaml_nodes.with_pairs(node, pairs)


def _health_check(value: Node) -> Node:
    if isinstance(value, ScalarNode) and value.value in ("none", "NONE", "None"):
        word = ScalarNode("tag:yaml.org,2002:str", "NONE", value.start_mark, value.end_mark, '"')
        value = SequenceNode("tag:yaml.org,2002:seq", [word], value.start_mark, value.end_mark)
    if isinstance(value, SequenceNode):
        key = ScalarNode("tag:yaml.org,2002:str", "command", value.start_mark, value.end_mark)
        return MappingNode("tag:yaml.org,2002:map", [(key, value)], value.start_mark, value.end_mark)
    return value


def _own_name(decoder: Decoder, node: Node, message: Message) -> str:
    """The name of an object of one of our kinds; empty if it is invalid, which is reported. An Image's default is its pattern."""
    name = yaml_nodes.value_of(node, "name")
    if name is None or yaml_nodes.is_empty(name):
        if isinstance(message, objects_pb2.Image):
            return message.pattern
        if isinstance(message, objects_pb2.Override):
            return ""
        decoder.report(node, "", "name is missing")
        return ""
    decoder.places["name"] = yaml_nodes.place(name)
    text = decoder.text(name, "name")
    pattern, asked = _PLACED.get(message.DESCRIPTOR.name, (_NAME, "it must be letters, digits, '_', '-' and '.'"))
    if text is not None and not pattern.fullmatch(text):
        decoder.report(name, "name", asked)
    return text or ""


def _aws_name(message: Message) -> str:
    """The name of an object of one of AWS's kinds, from its own fields. A cluster without a name is ``default``."""
    if isinstance(message, objects_pb2.Service):
        return ids.service_name(references.cluster_of(message.spec), message.spec.service_name)
    if isinstance(message, objects_pb2.Cluster):
        return message.spec.cluster_name or references.DEFAULT_CLUSTER
    if isinstance(message, alarms_pb2.Alarm):
        return message.spec.alarm_name
    return message.spec.family if isinstance(message, objects_pb2.TaskDefinition) else ""
