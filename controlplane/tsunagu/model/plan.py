"""Plans an apply: which objects to put or delete so that the registry holds what manifests ask for.

The one rule: all or nothing. A plan with an issue has no changes. Otherwise it is a single batch in which each change names
the revision that it expects, so it is either applied to the very state that it was made for, or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tsunagu.model import envfile, ids, images, programs, references
from tsunagu.model.deployments import alarms
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests.notes import notes_for
from tsunagu.model.manifests.objects import is_consequence
from tsunagu.model.manifests.warnings import unrendered, warnings_for
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import check_delete, check_object, state_after
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tsunagu.model.manifests.reading import Document
    from tsunagu.model.programs import Machine
    from tsunagu.model.references import State

CREATE, UPDATE, DELETE = "create", "update", "delete"
#: Messages of issues about something that is not there.
_UNNAMED = "(unnamed-"
_MISSING = re.compile(r"there is no |no task definition |container .* has no command")
_ORDER = {kind: number for number, kind in enumerate(ids.KINDS)}


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan."""

    action: str  # create, update, delete
    kind: str
    name: str
    expected: int  # revision of the object's last change at which the plan was made; 0: there is none
    object: objects_pb2.Object | None = None  # what to put; None in a delete
    why: str = ""  # for an object that no document asks for: what needs it
    before: objects_pb2.Object | None = field(default=None, compare=False)  # what it changes, or the revision before it

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of planning. ``changes`` are ordered: an object comes after those that it refers to (before, in a delete)."""

    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()  # with file and line
    notes: tuple[str, ...] = ()  # for each file, what it says that is passed over
    issues: tuple[Issue, ...] = ()
    unchanged: tuple[str, ...] = ()  # "Service default/web"

    def services(self) -> list[str]:
        """Names of the services that it makes, changes, or finds as they should be."""
        changed = [change.name for change in self.changes if change.kind == "Service" and change.action != DELETE]
        unchanged = [name.removeprefix("Service ") for name in self.unchanged if name.startswith("Service ")]
        return [*changed, *unchanged]

    def raise_for_issues(self) -> None:
        """Raise ManifestError if there is an issue."""
        if self.issues:
            raise ManifestError(self.issues)


def plan(
    documents: Sequence[Document],
    state: State,
    *,
    secrets: Mapping[str, str] | None = None,
    folders: Mapping[str, str] | None = None,
    faults: Sequence[Issue] = (),
    machine: Machine | None = None,
) -> Plan:
    """Plan what to put so that ``state`` holds what the documents ask for.

    ``state``: all objects by kind and name. ``secrets``: values by valueFrom or name (see ``envfile``). ``folders``: the
    absolute folder of each document's file, to which an Image's workingDirectory is relative. ``faults``: what is wrong
    with the documents themselves (``Reading.issues``); the plan's issues are these and those of references. ``machine``: what
    the machine has on which tasks will run; None if nobody knows.
    """
    draft = _Draft(state, dict(secrets or {}), dict(folders or {}), tuple(faults), machine)
    for document in sorted(documents, key=lambda one: _ORDER[one.kind]):
        draft.add(document)
    draft.imply()
    return draft.finish()


@dataclass
class _Draft:
    """A plan while it is made.

    Invariant: ``desired`` has the objects to put by (kind, name); ``documents`` the document that asked for each, and
    ``reasons`` why an object that no document asked for is needed.
    """

    state: State
    secrets: dict[str, str]
    folders: dict[str, str]
    faults: tuple[Issue, ...] = ()
    machine: Machine | None = None
    desired: dict[tuple[str, str], objects_pb2.Object] = field(default_factory=dict)
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    asked: dict[tuple[str, str], Document] = field(default_factory=dict)  # by (kind, name) as the document has them
    families: dict[str, tuple[str, Document]] = field(default_factory=dict)  # family -> (name, document)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)

    def __post_init__(self) -> None:
        #: family -> its latest registered revision
        self.latest: dict[str, objects_pb2.TaskDefinition] = {}
        for obj in references.objects(self.state, "TaskDefinition").values():
            known = self.latest.get(obj.task_definition.spec.family)
            if known is None or known.revision < obj.task_definition.revision:
                self.latest[obj.task_definition.spec.family] = obj.task_definition

    def add(self, document: Document) -> None:
        """Add the object that a document asks for."""
        obj = self._object(document)
        key = (document.kind, obj.meta.name)
        earlier = self.asked.setdefault((document.kind, document.name), document)
        if earlier is not document:
            if _is_nameless(document):
                return  # its own fault, which is reported
            at = earlier.places[""]
            reason = f"{document.kind} {document.name} is there twice, first at {earlier.file}:{at.line}"
            self.issues.append(document.locate(Issue("", 0, 0, "", reason)))
            return
        self.desired[key] = obj
        self.documents[key] = document

    def _object(self, document: Document) -> objects_pb2.Object:
        make = {
            "Cluster": self._cluster,
            "Image": self._image,
            "TaskDefinition": self._task_definition,
            "Service": self._service,
            "Gateway": self._gateway,
            "Route": self._placed,
            "AccessPolicy": self._placed,
        }.get(document.kind)
        obj = ids.make(document.kind, document.name, document.message)
        if document.kind == "Service" and _is_nameless(document):  # which is reported; nothing may seem to be its twin
            obj.service.spec.service_name = f"{_UNNAMED}{len(self.asked)})"
            obj.meta.name = ids.service_name(references.cluster_of(obj.service.spec), obj.service.spec.service_name)
        if make is not None:
            make(document, obj)
        alarms.keep_state(obj, references.objects(self.state, "Alarm"))
        return obj

    def _cluster(self, document: Document, obj: objects_pb2.Object) -> None:
        obj.cluster.spec.cluster_name = document.name

    def _gateway(self, document: Document, obj: objects_pb2.Object) -> None:
        obj.gateway.cluster = obj.gateway.cluster or references.DEFAULT_CLUSTER
        folder = self.folders.get(document.file, "")
        for port in obj.gateway.ports if folder else ():
            if port.HasField("tls"):
                port.tls.certificate_chain = str(PurePosixPath(folder, port.tls.certificate_chain))
                port.tls.private_key = str(PurePosixPath(folder, port.tls.private_key))

    def _placed(self, document: Document, obj: objects_pb2.Object) -> None:
        """A rule of traffic or access knows where it was written. That it stands at another line now is no change of it."""
        field = ids.kind(document.kind).field
        getattr(obj, field).source = f"{document.file}:{document.places[''].line}"
        before = references.objects(self.state, document.kind).get(obj.meta.name)
        if before is not None:
            moved = objects_pb2.Object()
            moved.CopyFrom(obj)
            getattr(moved, field).source = getattr(before, field).source
            if getattr(moved, field) == getattr(before, field):
                getattr(obj, field).source = getattr(before, field).source

    def _image(self, document: Document, obj: objects_pb2.Object) -> None:
        """A relative working directory is relative to the manifest's folder; without one it is that folder."""
        written = obj.image.working_directory
        folder = self.folders.get(document.file, "")
        if folder and (written or obj.image.command):
            obj.image.working_directory = str(PurePosixPath(folder, written))
        if folder and obj.image.build:
            obj.image.build = str(PurePosixPath(folder, obj.image.build))

    def _task_definition(self, document: Document, obj: objects_pb2.Object) -> None:
        """The object is the family's latest revision if that has the same content, else the next revision."""
        spec = obj.task_definition.spec
        latest = self.latest.get(spec.family)
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
            self.desired["SecretValue", value_from] = ids.make("SecretValue", value_from, body)

    def _service(self, document: Document, obj: objects_pb2.Object) -> None:
        """References are resolved, as AWS does when it creates a service."""
        spec = obj.service.spec
        spec.cluster = references.cluster_of(spec)
        if written := spec.task_definition or self._only_family(document):
            spec.task_definition = self._pinned(document, written)
        if not spec.HasField("desired_count") and spec.scheduling_strategy != "DAEMON":
            spec.desired_count = 1
            self._warn(document, "", "desiredCount is missing; one task is run")
        known = references.objects(self.state, "Service").get(obj.meta.name)
        if known is not None and known.service.HasField("status"):
            obj.service.status.CopyFrom(known.service.status)
        if known is not None:
            obj.service.forced_deployments = known.service.forced_deployments
            if known.service.HasField("next_deployment"):
                obj.service.next_deployment.CopyFrom(known.service.next_deployment)

    def _only_family(self, document: Document) -> str:
        """The family of a service that is named on the command line: the only one of these documents."""
        return next(iter(self.families)) if document.named_outside and len(self.families) == 1 else ""

    def _pinned(self, document: Document, text: str) -> str:
        """Resolve a reference to FAMILY:REVISION: one that is registered, else the one that these documents register.

        A number in a file is AWS's. It counts here only if that revision is registered here, and is not one that the
        files themselves describe.
        """
        family, revision = references.task_definition_reference(text)
        name, registering = self.families.get(family, ("", None))
        if registering is None:
            found = references.find_task_definition(text, self.state)
            return ids.task_definition_name(family, found.revision) if found else ids.arn_tail(text, "task-definition")
        exact = ids.task_definition_name(family, revision)
        described = revision == registering.revision
        if revision and not described and exact in references.objects(self.state, "TaskDefinition"):
            return exact
        if revision and name != exact:
            self._warn(
                document, "taskDefinition", f"{exact} is AWS's number; here it is {name}, from {registering.file}"
            )
        return name

    def _warn(self, document: Document, path: str, message: str) -> None:
        self.warnings.append(document.locate(Issue("", 0, 0, path, message)))

    def imply(self) -> None:
        """Add clusters and namespaces that are used but do not exist, as AWS creates a cluster's namespace."""
        after = state_after(self.state, self.desired.values())
        for obj in list(self.desired.values()):
            kind = ids.kind_of(obj)
            reason = f"{kind} {obj.meta.name} uses it"
            if kind == "Service":
                self._need("Cluster", obj.service.spec.cluster, reason)
            elif kind == "Gateway":
                self._need("Cluster", obj.gateway.cluster, reason)
                self._need("Namespace", obj.gateway.namespace, reason)
            elif kind == "Cluster":
                defaults = obj.cluster.spec.service_connect_defaults
                self._need("Namespace", references.namespace_name(defaults.namespace, after), reason)
        after = state_after(self.state, self.desired.values())
        for obj in list(self.desired.values()):
            if obj.WhichOneof("body") == "service" and references.connects(obj.service.spec):
                reason = f"Service {obj.meta.name} uses it"
                self._need("Namespace", references.namespace_of(obj.service.spec, after), reason)

    def _need(self, kind: str, name: str, reason: str) -> None:
        key = (kind, name)
        if not name or key in self.desired or name in references.objects(self.state, kind):
            return
        body = ids.kind(kind).message()
        if isinstance(body, objects_pb2.Cluster):
            body.spec.cluster_name = name
        self.desired[key] = ids.make(kind, name, body)
        self.reasons[key] = reason

    def finish(self) -> Plan:
        indexes = Indexes(state_after(self.state, self.desired.values()), self.state)
        for key, obj in self.desired.items():
            self._validate(key, obj, indexes)
        ordered = sorted(self.desired, key=lambda key: (_ORDER[key[0]], key[1]))
        changed = {key: None for key in ordered if self._differs(key)}
        issues = tuple(sorted(dict.fromkeys((*self.faults, *self.issues)), key=_by_place))
        return Plan(
            changes=() if issues else tuple(map(self._change, changed)),
            warnings=tuple(map(str, sorted(self.warnings, key=_by_place))),
            notes=tuple(notes_for(self.documents.values(), indexes)),
            issues=issues,
            unchanged=tuple(f"{kind} {name}" for kind, name in ordered if (kind, name) not in changed),
        )

    def _validate(self, key: tuple[str, str], obj: objects_pb2.Object, indexes: Indexes) -> None:
        document = self.documents.get(key)
        for one in check_object(obj, indexes):
            if not self._follows(one, document):
                self.issues.append(document.locate(one) if document else one.at(" ".join(key), 0, 0))
        if document is not None:
            found = (*warnings_for(obj, indexes), *unrendered(document), *self._absent(obj, indexes))
            self.warnings += [document.locate(one) for one in found]

    def _absent(self, obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
        """Warnings of what a task would not find on its machine."""
        if self.machine is None or obj.WhichOneof("body") != "task_definition":
            return
        if not images.run_in_images(obj.task_definition.spec, indexes.state):  # an image has programs of its own
            yield from programs.absent(obj.task_definition.spec, indexes.state, self.machine)

    def _follows(self, found: Issue, document: Document | None) -> bool:
        """Whether an issue only follows from a fault that is reported: in its document, or in one that names nothing."""
        faults = document.faults if document else ()
        unnamed = document is not None and _is_nameless(document) and found.path in ("", "serviceName")
        if unnamed or _UNNAMED in found.message:
            return True
        if is_consequence(found, faults) or any(_within(found.path, fault) for fault in faults):
            return True
        return bool(self.faults) and _MISSING.match(found.message) is not None and self._hides_names

    @cached_property
    def _hides_names(self) -> bool:
        """Whether a text or a document whose faults are reported could have held anything that is missing now."""
        known = {document.file for document in self.documents.values()}
        nameless = any(_is_nameless(one) for one in self.asked.values() if one.kind != "Service")
        return nameless or any(one.file and one.file not in known for one in self.faults)

    def _known(self, key: tuple[str, str]) -> objects_pb2.Object | None:
        return references.objects(self.state, key[0]).get(key[1])

    def _differs(self, key: tuple[str, str]) -> bool:
        known = self._known(key)
        return known is None or ids.body(known) != ids.body(self.desired[key])

    def _change(self, key: tuple[str, str]) -> Change:
        known = self._known(key)
        expected = known.meta.revision if known else 0
        action = UPDATE if known else CREATE
        why = self.reasons.get(key, "")
        return Change(action, *key, expected, self.desired[key], why, known or self._revision_before(key))

    def _revision_before(self, key: tuple[str, str]) -> objects_pb2.Object | None:
        """The task definition of which this one is the next revision."""
        family, _ = references.task_definition_reference(key[1])
        latest = self.latest.get(family) if key[0] == "TaskDefinition" else None
        if latest is None:
            return None
        return references.objects(self.state, key[0])[ids.task_definition_name(family, latest.revision)]


def _by_place(one: Issue) -> tuple[str, int, int]:
    return one.file, one.line, one.column


def _is_nameless(document: Document) -> bool:
    """Whether a document lacks its name, which is reported."""
    return not document.name.rpartition("/")[2]


def _within(path: str, outer: str) -> bool:
    """Whether a path is another one, or lies within it."""
    return bool(outer) and (path == outer or path.startswith((f"{outer}.", f"{outer}[")))


def plan_delete(documents: Iterable[Document], state: State) -> Plan:
    """Plan what to delete so that ``state`` no longer holds what the documents ask for. What is not there is skipped.

    A document of a task definition deletes every revision of its family. Clusters and namespaces are deleted only if a
    document names them.
    """
    deleted: dict[tuple[str, str], Document] = {}
    for document in documents:
        for name in _names(document, state):
            deleted[document.kind, name] = document
    indexes = Indexes(state_after(state, (), deleted), state)
    issues = tuple(
        document.locate(found)
        for (kind, name), document in deleted.items()
        for found in check_delete(kind, name, indexes)
    )
    ordered = sorted(deleted, key=lambda key: (-_ORDER[key[0]], key[1]))
    changes = tuple(Change(DELETE, kind, name, state[kind][name].meta.revision) for kind, name in ordered)
    return Plan(changes=() if issues else changes, issues=issues)


def _names(document: Document, state: State) -> list[str]:
    """Names of the existing objects that a document is about."""
    known = references.objects(state, document.kind)
    if document.kind == "TaskDefinition":
        revisions = references.revisions_of(document.name, state)
        return [ids.task_definition_name(document.name, one.revision) for one in revisions]
    return [document.name] if document.name in known else []
