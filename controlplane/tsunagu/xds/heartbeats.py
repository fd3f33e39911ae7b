"""What lapses is kept: a client drops a resource with a time to live when it has not heard of it for so long.

A resource that must not outlive its control plane (an injected fault, an override) has such a time. As long as the
control plane is there, it says a third of that time after the last word: keep it (docs/protocol.md 10).

Rule: kept is what the client has as it should be. What is in flight, lacking or refused has its own way to the client,
and is not spoken of. In delta a heartbeat has no body. In SotW it has to: Envoy 1.40 does not count one without, and of
LDS and CDS, whose responses are the whole state, it deletes what it finds no body of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.group import Batch

if TYPE_CHECKING:
    from tsunagu.xds.watch import Watch

PER_LIFE = 3  # so that two may be lost
NEWS = Batch((), (), {}, floor=1 << 62, cause="heartbeat")  # of no revision: no barrier waits for the answer


def due(watch: Watch, now: float) -> tuple[Batch | None, float | None]:
    """What the client is to be told now to keep, and when the next will have to be told; None: nothing, never."""
    alive = _alive(watch)
    times = {name: watch.heard[name] + ttl / PER_LIFE if name in watch.heard else now for name, ttl in alive.items()}
    resources = [watch.group.current(name) for name, at in times.items() if at <= now]
    told = tuple([resource for resource in resources if resource is not None])
    return Batch(told, (), {}) if told else None, min((at for at in times.values() if at > now), default=None)


def _alive(watch: Watch) -> dict[str, float]:
    """What lapses, by name with its time, of what the client has as it should be."""
    if watch.everything or watch.position != watch.group.end:
        return {}
    lacking = watch.exceptions or {}
    return {
        name: ttl
        for name, ttl in watch.group.mortal.items()
        if name not in lacking and name not in watch.rejections and not watch.in_flight(frozenset((name,)))
    }
