"""Applies documents to a registry: plan over what is there, commit as one batch, plan anew when another writer was faster.

The one rule: what is committed is exactly what was planned; an object that changed in between makes a new plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsunagu.client import manifest_files
from tsunagu.client.lookup import readable
from tsunagu.client.machine import this_machine
from tsunagu.client.proxyless import shut_out
from tsunagu.client.restart import forced
from tsunagu.model import ids, plan
from tsunagu.model.difference import difference
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.reading import Reading
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.registry.store import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.model.errors import Issue
    from tsunagu.model.manifests.reading import Document
    from tsunagu.model.plan import Change, Plan
    from tsunagu.model.references import State
    from tsunagu.v1 import objects_pb2

_ATTEMPTS = 30  # in each of them another writer was faster, so the registry as a whole goes on


async def apply_documents(
    link: Link,
    documents: Sequence[Document] | Reading,
    secrets: Mapping[str, str],
    *,
    dry_run: bool = False,
    force: bool = False,
) -> Plan:
    """Applies documents; returns the plan that was carried out (or, in a dry run, would be).

    With `force` every service among them gets a new deployment, though nothing of it has changed.

    Raises ManifestError, with the issues of a Reading too, and Conflict when other writers were faster each time.
    """

    def make(state: State) -> Plan:
        made = planned(documents, state, secrets)
        return forced(made, made.services(), state) if force else made

    return await _commit(link, make, dry_run=dry_run)


async def delete_documents(link: Link, documents: Sequence[Document]) -> Sequence[Change]:
    """Deletes what documents name; returns what was deleted. Raises ManifestError when something else needs it."""
    return (await _commit(link, lambda state: plan.plan_delete(documents, state))).changes


def planned(documents: Sequence[Document] | Reading, state: State, secrets: Mapping[str, str]) -> Plan:
    """The plan of these documents over a state. Raises ManifestError, with the issues of a Reading too."""
    reading = documents if isinstance(documents, Reading) else Reading(tuple(documents))
    made = plan.plan(
        reading.documents,
        state,
        secrets=secrets,
        folders=manifest_files.folders(reading.documents),
        faults=reading.issues,
        machine=this_machine(),
    )
    made.raise_for_issues()
    return made


async def _commit(link: Link, make: Callable[[State], Plan], *, dry_run: bool = False) -> Plan:
    refused: Plan | None = None  # by the registry, over what is there now and was perhaps not when it was planned
    for attempt in range(1, _ATTEMPTS + 1):
        made = make(state := await present(link))
        made.raise_for_issues()
        if warned := await shut_out(
            link, made.changes, state
        ):  # before it is done: then these programs lack what they call
            made = replace(made, warnings=(*made.warnings, *warned))
        if dry_run or not made.changes:
            return made
        try:
            await link.registry.batch([operation(change) for change in made.changes])
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
        except ManifestError:
            if attempt == _ATTEMPTS or (refused and refused.changes == made.changes):
                raise
            refused = made
        else:
            return made
    raise AssertionError("unreachable")


async def present(link: Link) -> State:
    """Every object that is there."""
    state: dict[str, dict[str, objects_pb2.Object]] = {kind: {} for kind in ids.KINDS}
    for obj in (await link.registry.list(""))[0]:
        state[ids.kind_of(obj)][obj.meta.name] = obj
    return state


def operation(change: Change) -> PutObject | DeleteObject:
    """A change as a part of a batch."""
    if change.object is None:
        return DeleteObject(change.kind, change.name, change.expected)
    return PutObject(change.object, change.expected)


_DONE = {plan.CREATE: "created", plan.UPDATE: "changed", plan.DELETE: "deleted"}
_WOULD = {plan.CREATE: "would be created", plan.UPDATE: "would be changed", plan.DELETE: "would be deleted"}


def summary(made: Plan, *, dry_run: bool = False, unmask: bool = False) -> Iterator[str]:
    """What a plan does, a line for each object; in a dry run also a line for each field that would change.

    ``unmask``: with values that look like secrets.
    """
    words = _WOULD if dry_run else _DONE
    for change in made.changes:
        why = f" ({change.why})" if change.why else ""
        yield f"{readable(change.kind)} {change.name} {words[change.action]}{why}"
        if dry_run and change.before is not None and change.object is not None:
            yield from (f"    {line}" for line in difference(change.before, change.object, unmask=unmask))
    for name in made.unchanged:
        kind, _, rest = name.partition(" ")
        yield f"{readable(kind)} {rest} is as it should be"


def warnings(made: Plan, notes: Iterable[Issue] = (), *, quiet: bool = False) -> Iterator[str]:
    """What a user should know of documents that were accepted. ``quiet``: without notes.

    ``notes``: those of reading the files. A warning is about what acts otherwise than in AWS or than it is written; a note
    about what is passed over.
    """
    yield from (f"warning: {line}" for line in made.warnings)
    if not quiet:
        yield from (f"note: {line}" for line in (*map(str, notes), *made.notes))
