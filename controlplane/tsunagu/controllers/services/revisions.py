"""Which ServiceRevision a service is to run, and which of its revisions nobody needs any more.

The one rule: a service that cannot be resolved loses nothing. A service whose task definition is missing keeps the revision
that it had, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.model import ids, references
from tsunagu.model.errors import ManifestError
from tsunagu.model.revisions import resolve

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class DesiredRevision:
    """`revision` is None when the service never had one that could be resolved; `problem` is empty when all is well."""

    revision: Object | None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.revision.meta.name if self.revision else ""


def desired_revision(service: Object, state: Mapping[str, Mapping[str, Object]]) -> DesiredRevision:
    """The revision that a service's tasks are to be made from; one that is not in the registry yet has no meta.revision."""
    known = state["ServiceRevision"]
    try:
        name, body = resolve(service, state)
    except ManifestError as error:
        return DesiredRevision(known.get(service.service.status.revision), str(error))
    return DesiredRevision(known.get(name) or ids.make("ServiceRevision", name, body))


def deployment_of(service: Object, desired: DesiredRevision, state: Mapping[str, Mapping[str, Object]]) -> int:
    """The registry revision at which what the service deploys was asked for.

    What was put in one batch has the same one, however long the controllers take: services that are applied together see
    each other's names, with frozen names too. It counts when a deployment begins, and stays the same until the next one.
    """
    if not desired.name:
        return service.service.status.deployment
    return max(obj.meta.revision for obj in (service, *_made_from(service, state)))


def _made_from(service: Object, state: Mapping[str, Mapping[str, Object]]) -> Iterator[Object]:
    """What the service's revision is resolved from."""
    spec = service.service.spec
    definition = references.find_task_definition(spec.task_definition, state)
    family = ids.task_definition_name(definition.spec.family, definition.revision) if definition else ""
    named = {
        "TaskDefinition": family,
        "Cluster": references.cluster_of(spec),
        "Namespace": references.namespace_of(spec, state),
    }
    yield from (obj for kind, name in named.items() if (obj := state[kind].get(name)) is not None)
    yield from state["Image"].values()


def unneeded(revisions: Iterable[Object], tasks: Iterable[Object], keep: Container[str], spare: int) -> list[Object]:
    """The revisions to remove: all but those named in `keep`, those of any task, and the newest `spare` others."""
    used = {task.task.spec.service_revision for task in tasks}
    unused = [revision for revision in revisions if revision.meta.name not in used and revision.meta.name not in keep]
    return sorted(unused, key=lambda revision: -revision.meta.created_revision)[spare:]
