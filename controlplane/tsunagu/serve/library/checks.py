"""Checks of a change before it is made, for the server's `checks`.

Rule: a check is a function from a Proposal to sentences, each of them one fault that names who and what; a check keeps
nothing, and costs what the change costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.bodies import grpc_rules
from tsunagu.xds.bodies.references import Reference, references
from tsunagu.xds.resources import CDS, ECDS, RDS, SDS
from tsunagu.xds.type_table import TypeTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.serve.library.proposal import Check, Proposal
    from tsunagu.xds.type_table import TypeName


def no_dangling(*types: TypeName) -> Check:
    """Return a check that everything of these types which is referred to is there: by what comes, and by what stays.
    Raises UnknownType.
    """
    table = TypeTable()
    wanted = {table.find(name).url for name in types}

    def check(proposal: Proposal) -> Iterator[str]:
        for group, resource in proposal.upserts:
            me = Reference(resource.type_url, resource.name)
            for target in references(resource):
                if target.type_url in wanted and not proposal.exists(target):
                    yield _dangling(group, me, target)
        for _, gone in proposal.removals:
            if gone.type_url in wanted and not proposal.exists(gone):
                for group, who in sorted(proposal.referrers(gone), key=str):
                    yield _dangling(group, who, gone)

    return check


#: Routes, secrets and filters that a client would wait for. Not endpoints: the server answers for a cluster without any.
dangling: Check = no_dangling(RDS, SDS, ECDS)
#: The same, and envoy clusters: for those who route to none that is in the bootstrap of their Envoys.
dangling_clusters: Check = no_dangling(RDS, SDS, ECDS, CDS)


def refused_by_grpc(proposal: Proposal) -> Iterator[str]:
    """A check that a gRPC client would accept it (and not silently ignore a part); for groups that such clients see."""
    for group, resource in proposal.upserts:
        for problem in grpc_rules.problems(resource):
            yield f"{Reference(resource.type_url, resource.name)} of {group!r}: {problem}"


def _dangling(group: str, who: Reference, wanted: Reference) -> str:
    return f"{who} of {group!r} refers to {wanted}, which is not there"
