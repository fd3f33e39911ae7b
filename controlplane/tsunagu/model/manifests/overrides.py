"""Changes single values of a service without a copy of its file: ``kind: Override`` and ``--set SERVICE/NAME=VALUE``.

AWS's files are the ones that are deployed, and a laptop needs another address or count in them. The one rule: an override
changes the documents that were read, before anything is planned, and is never stored; what it names must be among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import references
from tsunagu.model.errors import Issue
from tsunagu.model.manifests import templates
from tsunagu.model.manifests.reading import Document
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tsunagu.v1 import ecs_pb2

KIND = "Override"
_FORM = "write SERVICE/NAME=VALUE, or SERVICE/CONTAINER/NAME=VALUE"


def from_options(options: Iterable[str]) -> tuple[list[Document], list[Issue]]:
    """Return an override for each ``--set``, and the issues of those that are none."""
    documents, issues = [], []
    for text in options:
        target, equals, value = text.partition("=")
        *service, name = target.split("/")
        if not equals or len(service) not in (1, 2) or not all((*service, name)):
            issues.append(Issue("", 0, 0, "", f"--set {target}: names no variable of a service", _FORM))
            continue
        container = service[1] if len(service) > 1 else ""
        made = objects_pb2.Override(service=service[0], container=container, environment={name: value})
        documents.append(Document(KIND, "", made, f"--set {target}", {}))
    return documents, issues


@dataclass
class Outcome:
    """What overriding gives: the documents without the overrides, and what is to be said."""

    documents: list[Document]
    issues: list[Issue]
    notes: list[Issue]


def applied(documents: Sequence[Document], options: Iterable[str]) -> Outcome:
    """Apply the overrides among the documents, in order, then those of the command line."""
    of_options, issues = from_options(options)
    overrides = [*(one for one in documents if one.kind == KIND), *of_options]
    outcome = Outcome([one for one in documents if one.kind != KIND], issues, [])
    for override in overrides:
        _Applying(override, outcome).apply()
    if overrides:
        outcome.documents = [_rendered(one) for one in outcome.documents]
    return outcome


class _Applying:
    """One override, on the documents of ``outcome``."""

    def __init__(self, document: Document, outcome: Outcome) -> None:
        self._document = document
        self._wanted: objects_pb2.Override = document.message  # type: ignore[assignment]
        self._outcome = outcome

    def apply(self) -> None:
        wanted = self._wanted
        services = [one for one in self._of_kind("Service") if self._is_meant(one)]
        if not services:
            known = [one.message.spec.service_name for one in self._of_kind("Service")]  # type: ignore[attr-defined]
            self._report(
                "service", f"there is no service {wanted.service!r} in these files", did_you_mean(wanted.service, known)
            )
        for service in services:
            spec: ecs_pb2.CreateServiceRequest = service.message.spec  # type: ignore[attr-defined]
            if wanted.HasField("desired_count"):
                spec.desired_count = wanted.desired_count
            if wanted.environment or wanted.command or wanted.entry_point or wanted.image:
                self._change_containers(service, spec)

    def _of_kind(self, kind: str) -> list[Document]:
        return [one for one in self._outcome.documents if one.kind == kind]

    def _is_meant(self, document: Document) -> bool:
        name = self._wanted.service
        return name in (document.name, document.name.rpartition("/")[2])

    def _change_containers(self, service: Document, spec: ecs_pb2.CreateServiceRequest) -> None:
        family, _ = references.task_definition_reference(spec.task_definition)
        definitions = self._of_kind("TaskDefinition")
        found = [one for one in definitions if one.name == family or (not family and len(definitions) == 1)]
        if not found:
            self._report(
                "service",
                f"task definition {family!r} of {self._wanted.service!r} is not in these files",
                "give its file too",
            )
            return
        others = [one.name for one in self._of_kind("Service") if one is not service and _family(one) == found[0].name]
        if others:
            self._note(f"this changes {', '.join(others)} too, of the same task definition {found[0].name}")
        definition: ecs_pb2.RegisterTaskDefinitionRequest = found[0].message.spec  # type: ignore[attr-defined]
        for container in self._containers(definition):
            _change(container, self._wanted)

    def _containers(self, definition: ecs_pb2.RegisterTaskDefinitionRequest) -> list[ecs_pb2.ContainerDefinition]:
        """The containers that are meant: the named one, those that have the variable, or the only one."""
        wanted, containers = self._wanted, list(definition.container_definitions)
        names = [one.name for one in containers]
        if wanted.container:
            if wanted.container not in names:
                hint = did_you_mean(wanted.container, names) or f"its containers are {', '.join(names)}"
                self._report("container", f"there is no container {wanted.container!r}", hint)
            return [one for one in containers if one.name == wanted.container]
        having = [one for one in containers if wanted.environment.keys() & _variables(one)]
        if having and not (wanted.command or wanted.entry_point or wanted.image):
            return having
        if len(containers) > 1:
            self._report("", f"{wanted.service!r} has several containers", f"name one of {', '.join(names)}")
            return []
        return containers

    def _report(self, path: str, message: str, hint: str = "") -> None:
        self._outcome.issues.append(self._located(Issue("", 0, 0, path, message, hint)))

    def _note(self, message: str) -> None:
        self._outcome.notes.append(self._located(Issue("", 0, 0, "", message)))

    def _located(self, issue: Issue) -> Issue:
        if not self._document.places:  # an option
            return replace(issue, file=self._document.file, path="")
        return self._document.locate(issue)


def _family(service: Document) -> str:
    spec: ecs_pb2.CreateServiceRequest = service.message.spec  # type: ignore[attr-defined]
    return references.task_definition_reference(spec.task_definition)[0]


def _variables(container: ecs_pb2.ContainerDefinition) -> set[str]:
    return {one.name for one in container.environment} | {one.name for one in container.secrets}


def _change(container: ecs_pb2.ContainerDefinition, wanted: objects_pb2.Override) -> None:
    """A variable that was a secret is none any more, and needs no value in an env file."""
    kept = [one for one in container.secrets if one.name not in wanted.environment]
    del container.secrets[:]
    container.secrets.extend(kept)
    present = {one.name: one for one in container.environment}
    for name, value in wanted.environment.items():
        pair = present.get(name) or container.environment.add(name=name)
        pair.value = value
    if wanted.command:
        container.command[:] = wanted.command
    if wanted.entry_point:
        container.entry_point[:] = wanted.entry_point
    if wanted.image:
        container.image = wanted.image


def _rendered(document: Document) -> Document:
    """The document without the signs of templates that overrides have replaced."""
    if not document.unrendered:
        return document
    left: Iterator[tuple[str, str]] = templates.unrendered(getattr(document.message, "spec", document.message))
    return replace(document, unrendered=tuple(left))
