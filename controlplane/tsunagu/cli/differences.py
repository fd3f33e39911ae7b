"""What `describe` says of a service beside its fields: which names its tasks do not see, and what AWS would do otherwise.

The one rule: nothing is said of a service as it would be in AWS too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.model import references
from tsunagu.model.manifests import aws_differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.client.connection import Link
    from tsunagu.model.references import State
    from tsunagu.v1.objects_pb2 import Object

_KINDS: Final = ("Cluster", "Namespace", "TaskDefinition", "Service", "VirtualAddress")
_NAMED: Final = 8  # aliases that a line names


async def of_service(link: Link, service: Object) -> list[str]:
    """The lines about a service, each section with a blank line and a title in front."""
    if not references.connects(service.service.spec):
        return []
    state: dict[str, dict[str, Object]] = {}
    for kind in _KINDS:
        found, _ = await link.registry.list(kind)
        state[kind] = {obj.meta.name: obj for obj in found}
    sections = {"Names": _not_seen(service, state), "In AWS": list(_in_aws(service, state))}
    return [line for title, lines in sections.items() if lines for line in ("", title, *(f"  {one}" for one in lines))]


def _not_seen(service: Object, state: State) -> list[str]:
    """Of a namespace with frozen names: what came after the deployment."""
    late = aws_differences.unseen_there(service.service, state)
    if not late or not _is_frozen(service, state):
        return []
    return [
        f"its tasks do not see {_named(late)}, which came after its deployment; tsunagu restart {service.meta.name}"
    ]


def _in_aws(service: Object, state: State) -> Iterator[str]:
    late = aws_differences.unseen_there(service.service, state)
    if late and not _is_frozen(service, state):
        yield (
            f"its tasks would not see {_named(late)}, which came after its deployment, before they are deployed anew "
            "(`freeze: deployment` of the Namespace is like that)"
        )
    spec = service.service.spec
    yield from (f"{one.path}: {one.message}" for one in aws_differences.refused_there(spec, state))
    yield from aws_differences.advised_there(spec, state)


def _is_frozen(service: Object, state: State) -> bool:
    return references.is_frozen(references.namespace_of(service.service.spec, state), state)


def _named(aliases: list[str]) -> str:
    more = f" and {len(aliases) - _NAMED} more" if len(aliases) > _NAMED else ""
    return ", ".join(aliases[:_NAMED]) + more
