"""Within a group a name leads to one resource, whether it is the resource's own or an alias.

Rule: a change that would give a name to two resources is refused, for which of them a client gets would be chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.bodies.references import Reference
from tsunagu.xds.resources import BadResource

if TYPE_CHECKING:
    from tsunagu.serve.library.proposal import Holdings, Steps
    from tsunagu.xds.resources import Resource


def check_aliases(steps: Steps, holdings: Holdings) -> None:
    """Raises BadResource when a name of what is put would lead to something else, too."""
    put = {key: one for key, one in steps.items() if one is not None}
    if not holdings.aliased and not any(one.aliases for one in put.values()):
        return
    owners: dict[tuple[str, str, str], str] = {}
    for (group, url, _), one in put.items():
        for name in (one.name, *one.aliases):
            owner = owners.setdefault((group, url, name), one.name)
            if owner == one.name:
                owner = _remaining(group, name, one, steps, holdings)
            if owner != one.name:
                what = f"{Reference(url, one.name)} of {group!r}"
                raise BadResource(f"{what} cannot be found as {name!r}, for {owner!r} is found so")


def _remaining(group: str, name: str, one: Resource, steps: Steps, holdings: Holdings) -> str:
    """Who of those that the change leaves as they are is found by a name; else the resource itself."""
    owner = holdings.owner(group, Reference(one.type_url, name))
    return one.name if owner is None or (group, one.type_url, owner) in steps else owner
