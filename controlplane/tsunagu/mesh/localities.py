"""Divides the endpoints of a discovery name into localities: which a caller prefers, and what share of its requests each gets.

A locality is a zone and a service revision. The caller's zone comes first, as far as its capacity goes: if it serves less
than an even share of all endpoints, the rest of its callers' requests goes to zones that serve more than that, as Service
Connect's zone-aware routing does (docs/adr/0029). What is left takes over when the first priority fails. The one rule:
weights follow from how many endpoints there are and from the shares of a weighted shift, never from who fails: whether an
endpoint fails is for each proxy to see.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

Endpoint: TypeAlias = "tuple[str, int]"  # IP, port
Place: TypeAlias = "tuple[str, str]"  # zone, revision

#: The sum of the weights of a priority has to fit into 32 bits (Envoy and gRPC refuse the assignment otherwise).
_LARGEST_SUM: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Locality:
    """Endpoints of one revision in one zone. `weight` 0: it gets no requests. Lower priorities come first."""

    zone: str  # empty: its tasks have none
    revision: str
    priority: int
    weight: int
    endpoints: tuple[Endpoint, ...]  # sorted, never empty
    tls: frozenset[Endpoint] = frozenset()  # those of them at which TLS is spoken


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom endpoints are divided: a proxy in `zone` (empty: no zone is preferred) of a mesh with these `zones`."""

    zone: str
    zones: Collection[str]


def divide(
    serving: Mapping[Place, Collection[Endpoint]], shares: Mapping[str, int], caller: Caller
) -> tuple[Locality, ...]:
    """Return the localities of these endpoints, by priority, zone and revision.

    `shares`: of a weighted shift, revision -> its share (any unit; a revision that is not named has none); empty outside a
    shift. If no revision that has a share serves, the others do, as outside a shift: better than refusing every call.
    """
    counts = {place: len(endpoints) for place, endpoints in serving.items() if endpoints}
    ranks: list[dict[Place, Fraction]] = [{}, {}]
    for share, pool in _pools(counts, shares):
        for rank, weights in zip(ranks, _ranked(share, pool, caller), strict=True):
            rank.update(weights)
    ranks = [rank for rank in ranks if rank]
    placed = {
        place: (priority, weight) for priority, rank in enumerate(ranks) for place, weight in _integers(rank).items()
    }
    without = (len(ranks) - 1, 0)  # not in the first priority, whose health would then count endpoints that get nothing
    return tuple(
        sorted(
            (
                Locality(*place, *placed.get(place, without), endpoints=tuple(sorted(serving[place])))
                for place in counts
            ),
            key=lambda one: (one.priority, one.zone, one.revision),
        )
    )


def _pools(counts: Mapping[Place, int], shares: Mapping[str, int]) -> Iterable[tuple[int | None, Mapping[Place, int]]]:
    """What is divided among zones as one, with its share of all requests: in a shift each revision, else everything."""
    of_revision: dict[str, dict[Place, int]] = defaultdict(dict)
    for place, count in counts.items():
        if shares.get(place[1]):
            of_revision[place[1]][place] = count
    if of_revision:
        return [(shares[revision], pool) for revision, pool in of_revision.items()]
    return [(None, counts)] if counts else []


def _ranked(
    share: int | None, pool: Mapping[Place, int], caller: Caller
) -> tuple[dict[Place, Fraction], dict[Place, Fraction]]:
    """The weights of a pool in the first priority and in the second. `share` None: a locality weighs as many as it serves."""
    in_zone: dict[str, int] = defaultdict(int)
    for (zone, _), count in pool.items():
        in_zone[zone] += count
    total, here = sum(in_zone.values()), in_zone.get(caller.zone, 0) if caller.zone else 0
    if not here:
        return {place: Fraction(share or total) * count / total for place, count in pool.items()}, {}
    zones = len({*caller.zones, *in_zone})
    kept = min(Fraction(1), Fraction(here * zones, total))
    excess = {zone: max(0, count * zones - total) for zone, count in in_zone.items() if zone != caller.zone}
    whole = Fraction(share or (here if kept == 1 else total))
    first, second = {}, {}
    for place, count in pool.items():
        zone = place[0]
        if zone == caller.zone:
            first[place] = whole * kept * count / here
        elif kept < 1 and excess[zone]:
            first[place] = whole * (1 - kept) * excess[zone] / sum(excess.values()) * count / in_zone[zone]
        else:
            second[place] = Fraction(share or total) * count / total
    return first, second


def _integers(weights: Mapping[Place, Fraction]) -> dict[Place, int]:
    """The same proportions in integers; exactly, unless their sum would not fit into 32 bits."""
    scale = lcm(*(weight.denominator for weight in weights.values()))
    exact = {place: int(weight * scale) for place, weight in weights.items()}
    total = sum(exact.values())
    if total <= _LARGEST_SUM:
        return exact
    return {place: max(1, weight * (_LARGEST_SUM - len(exact)) // total) for place, weight in exact.items()}
