"""What must be put or deleted so that the registry holds what manifests ask for.

The one rule: all or nothing. A plan with an issue has no change; a plan without one is a single batch whose every change
names the revision that it expects, so it is applied to the state that it was made for or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tsunagu.model import envfile, ids, references
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests.warnings import notes
from tsunagu.model.rules.indexes import Facts
from tsunagu.model.rules.validate import check_delete, check_object, overlay
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tsunagu.model.manifests.formats import Document
    from tsunagu.model.references import State

CREATE, UPDATE, DELETE = "create", "update", "delete"
_ORDER = {kind: number for number, kind in enumerate(ids.KINDS)}


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan."""

    action: str  # create, update, delete
    kind: str
    name: str
    expected: int  # the revision of its last change that the registry must still show; 0: it must not exist
    object: objects_pb2.Object | None = None  # what to put; None in a delete
    why: str = ""  # when no document asks for it: who needs it

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. ``changes`` is in an order in which what others refer to comes first (last in a delete)."""

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()  # with file and line
    ignored: tuple[str, ...] = ()  # members that only AWS's answers have, by file
    issues: tuple[Issue, ...] = ()
    unchanged: tuple[str, ...] = ()  # "Service default/web"

    def raise_for_issues(self) -> None:
        """Raises ManifestError when there is an issue."""
        if self.issues:
            raise ManifestError(self.issues)


def plan(
    documents: Sequence[Document],
    state: State,
    *,
    secrets: Mapping[str, str] | None = None,
    folders: Mapping[str, str] | None = None,
) -> Plan:
    """What to put so that ``state`` holds the documents.

    ``state``: every object by kind and name. ``secrets``: values by valueFrom or name (see ``envfile``). ``folders``: the
    absolute folder of each document's file, against which an Image's workingDirectory is read.
    """
    draft = _Draft(state, dict(secrets or {}), dict(folders or {}))
    for document in sorted(documents, key=lambda one: _ORDER[one.kind]):
        draft.add(document)
    draft.imply()
    return draft.finish()


@dataclass
class _Draft:
    """A plan in the making."""

    state: State
    secrets: dict[str, str]
    folders: dict[str, str]
    wanted: dict[tuple[str, str], objects_pb2.Object] = field(default_factory=dict)
    asked: dict[tuple[str, str], Document] = field(default_factory=dict)
    families: dict[str, tuple[str, Document]] = field(default_factory=dict)  # family -> (name, document)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    notes: list[Issue] = field(default_factory=list)

    def add(self, document: Document) -> None:
        """Takes up a document, as the object that it asks for."""
        obj = self._object(document)
        key = (document.kind, obj.meta.name)
        twice = (document.kind, document.name)
        earlier = next((one for one in self.asked.values() if (one.kind, one.name) == twice), None)
        if earlier is not None:
            at = earlier.places[""]
            reason = f"{document.kind} {document.name} stands twice, first at {earlier.file}:{at.line}"
            self.issues.append(document.locate(Issue("", 0, 0, "", reason)))
            return
        self.wanted[key] = obj
        self.asked[key] = document

    def _object(self, document: Document) -> objects_pb2.Object:
        make = {
            "Cluster": self._cluster,
            "Image": self._image,
            "TaskDefinition": self._task_definition,
            "Service": self._service,
            "Gateway": self._gateway,
        }.get(document.kind)
        obj = ids.make(document.kind, document.name, document.message)
        if make is not None:
            make(document, obj)
        return obj

    def _cluster(self, document: Document, obj: objects_pb2.Object) -> None:
        obj.cluster.spec.cluster_name = document.name

    def _gateway(self, document: Document, obj: objects_pb2.Object) -> None:
        obj.gateway.cluster = obj.gateway.cluster or references.DEFAULT_CLUSTER

    def _image(self, document: Document, obj: objects_pb2.Object) -> None:
        """A relative folder is one beside the manifest, and none is the manifest's own."""
        said = obj.image.working_directory
        folder = self.folders.get(document.file, "")
        if folder and (said or obj.image.command):
            obj.image.working_directory = str(PurePosixPath(folder, said))

    def _task_definition(self, document: Document, obj: objects_pb2.Object) -> None:
        """The family's latest revision when its content is the same, else the next one."""
        spec = obj.task_definition.spec
        registered = references.revisions_of(spec.family, self.state)
        latest = registered[-1] if registered else None
        revision = latest.revision if latest else 0
        obj.task_definition.revision = revision if latest and latest.spec == spec else revision + 1
        obj.meta.name = ids.task_definition_name(spec.family, obj.task_definition.revision)
        self.families.setdefault(spec.family, (obj.meta.name, document))
        for container in spec.container_definitions:
            for secret in container.secrets:
                self._secret(envfile.value_of(secret, self.secrets), secret.value_from)

    def _secret(self, value: str | None, value_from: str) -> None:
        if value is not None and value_from:
            body = objects_pb2.SecretValue(value=value.encode(errors="surrogateescape"))
            self.wanted["SecretValue", value_from] = ids.make("SecretValue", value_from, body)

    def _service(self, document: Document, obj: objects_pb2.Object) -> None:
        """References are written out, as AWS does when it creates a service."""
        spec = obj.service.spec
        spec.cluster = references.cluster_of(spec)
        spec.task_definition = self._pinned(document, spec.task_definition)
        if not spec.HasField("desired_count"):
            spec.desired_count = 1
            self._note(document, "", "desiredCount is missing; one task is run")
        known = references.objects(self.state, "Service").get(obj.meta.name)
        if known is not None and known.service.HasField("status"):
            obj.service.status.CopyFrom(known.service.status)

    def _pinned(self, document: Document, text: str) -> str:
        """FAMILY:REVISION of a reference: what is registered, else what these documents register.

        The number in a file is AWS's. It is not this registry's unless the revision is registered here and the files
        do not describe that very revision.
        """
        family, revision = references.task_definition_reference(text)
        name, beside = self.families.get(family, ("", None))
        if beside is None:
            found = references.find_task_definition(text, self.state)
            return ids.task_definition_name(family, found.revision) if found else ids.arn_tail(text, "task-definition")
        exact = ids.task_definition_name(family, revision)
        described = revision == beside.revision
        if revision and not described and exact in references.objects(self.state, "TaskDefinition"):
            return exact
        if revision and name != exact:
            self._note(document, "taskDefinition", f"{exact} is AWS's number; here it is {name}, from {beside.file}")
        return name

    def _note(self, document: Document, path: str, message: str) -> None:
        self.notes.append(document.locate(Issue("", 0, 0, path, message)))

    def imply(self) -> None:
        """Adds clusters and namespaces that are used and not there, as AWS makes the namespaces of a cluster."""
        for obj in list(self.wanted.values()):
            kind = ids.kind_of(obj)
            who = f"{kind} {obj.meta.name} uses it"
            if kind == "Service":
                self._need("Cluster", obj.service.spec.cluster, who)
            elif kind == "Gateway":
                self._need("Cluster", obj.gateway.cluster, who)
                self._need("Namespace", obj.gateway.namespace, who)
            elif kind == "Cluster":
                defaults = obj.cluster.spec.service_connect_defaults
                self._need("Namespace", references.namespace_name(defaults.namespace), who)
        after = overlay(self.state, self.wanted.values())
        for obj in list(self.wanted.values()):
            if obj.WhichOneof("body") == "service" and references.connects(obj.service.spec):
                who = f"Service {obj.meta.name} uses it"
                self._need("Namespace", references.namespace_of(obj.service.spec, after), who)

    def _need(self, kind: str, name: str, who: str) -> None:
        key = (kind, name)
        if not name or key in self.wanted or name in references.objects(self.state, kind):
            return
        body = ids.kind(kind).message()
        if isinstance(body, objects_pb2.Cluster):
            body.spec.cluster_name = name
        self.wanted[key] = ids.make(kind, name, body)
        self.reasons[key] = who

    def finish(self) -> Plan:
        facts = Facts(overlay(self.state, self.wanted.values()), self.state)
        for key, obj in self.wanted.items():
            self._judge(key, obj, facts)
        ordered = sorted(self.wanted, key=lambda key: (_ORDER[key[0]], key[1]))
        changed = [key for key in ordered if self._differs(key)]
        ignored = tuple(_ignored(one) for one in self.asked.values() if one.ignored)
        issues = tuple(sorted(self.issues, key=_by_place))
        return Plan(
            changes=() if issues else tuple(map(self._change, changed)),
            notes=tuple(map(str, sorted(self.notes, key=_by_place))),
            ignored=ignored,
            issues=issues,
            unchanged=tuple(f"{kind} {name}" for kind, name in ordered if (kind, name) not in changed),
        )

    def _judge(self, key: tuple[str, str], obj: objects_pb2.Object, facts: Facts) -> None:
        document = self.asked.get(key)
        for found in check_object(obj, facts):
            self.issues.append(document.locate(found) if document else found.at(" ".join(key), 0, 0))
        if document is not None:
            self.notes += [document.locate(one) for one in notes(obj, facts)]

    def _known(self, key: tuple[str, str]) -> objects_pb2.Object | None:
        return references.objects(self.state, key[0]).get(key[1])

    def _differs(self, key: tuple[str, str]) -> bool:
        known = self._known(key)
        return known is None or ids.body(known) != ids.body(self.wanted[key])

    def _change(self, key: tuple[str, str]) -> Change:
        known = self._known(key)
        expected = known.meta.revision if known else 0
        action = UPDATE if known else CREATE
        return Change(action, *key, expected=expected, object=self.wanted[key], why=self.reasons.get(key, ""))


def _by_place(one: Issue) -> tuple[str, int, int]:
    return one.file, one.line, one.column


def _ignored(document: Document) -> str:
    return f"{document.file}: only AWS's answers have {', '.join(document.ignored)}; ignored"


def plan_delete(documents: Iterable[Document], state: State) -> Plan:
    """What to delete so that ``state`` no longer holds what the documents ask for; what is not there is not missed.

    Of a task definition every revision of the family goes. Clusters and namespaces go when a document names them.
    """
    wanted: dict[tuple[str, str], Document] = {}
    for document in documents:
        for name in _names(document, state):
            wanted[document.kind, name] = document
    facts = Facts(overlay(state, (), wanted), state)
    issues = tuple(
        document.locate(found) for (kind, name), document in wanted.items() for found in check_delete(kind, name, facts)
    )
    ordered = sorted(wanted, key=lambda key: (-_ORDER[key[0]], key[1]))
    changes = tuple(Change(DELETE, kind, name, state[kind][name].meta.revision) for kind, name in ordered)
    return Plan(changes=() if issues else changes, issues=issues)


def _names(document: Document, state: State) -> list[str]:
    """Names of the objects of a document that are there."""
    known = references.objects(state, document.kind)
    if document.kind == "TaskDefinition":
        revisions = references.revisions_of(document.name, state)
        return [ids.task_definition_name(document.name, one.revision) for one in revisions]
    return [document.name] if document.name in known else []
