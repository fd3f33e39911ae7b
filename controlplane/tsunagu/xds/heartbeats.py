"""TTL heartbeats. A client drops a resource whose TTL passes without an update, so each is refreshed after a third of it.

A resource that must not outlive its control plane (an injected fault, an override) has a TTL; as long as the control
plane lives, the resource does.

Rule: refreshed is what the client holds as it should. What is in flight, divergent or refused reaches the client by
other ways. In delta a heartbeat has no body. In SotW it has: Envoy 1.40 ignores one without, and of LDS and CDS, whose
responses are the whole state, it deletes a resource without a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.group import Batch

if TYPE_CHECKING:
    from tsunagu.xds.watch import Watch

PER_TTL = 3  # so that two may be lost
NEWS = Batch((), floor=1 << 62, cause="heartbeat")  # of no revision: no barrier waits for its answer


def due(watch: Watch, now: float) -> tuple[Batch | None, float | None]:
    """Return the resources to be refreshed now (None: there are none), and when the next one is due (None: never)."""
    times = {
        name: watch.refreshed[name] + ttl / PER_TTL if name in watch.refreshed else now
        for name, ttl in _held(watch).items()
    }
    resources = [watch.group.current(name) for name, at in times.items() if at <= now]
    refreshed = tuple([resource for resource in resources if resource is not None])
    return Batch(refreshed) if refreshed else None, min((at for at in times.values() if at > now), default=None)


def _held(watch: Watch) -> dict[str, float]:
    """Return the expiring resources that the client holds as it should, name -> TTL."""
    if watch.everything or watch.position != watch.group.end:
        return {}
    divergence = watch.divergence or {}
    return {
        name: ttl
        for name, ttl in watch.group.expiring.items()
        if name not in divergence and name not in watch.rejections and not watch.in_flight(frozenset((name,)))
    }
