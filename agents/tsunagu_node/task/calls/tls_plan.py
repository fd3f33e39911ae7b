"""Decides what a task says of TLS at one of its ports: whether it is `ready` for it, and whether it is `alone` with it.

Callers are led to the TLS ingress of a port that is ready, and the plain ingress goes when all tasks are alone. Rule: a task
says that it is ready, or not alone, only when the ingress concerned is active in its Envoy; that it is alone, or not ready,
only when every proxy has acknowledged that nobody is led to the other one and no connection is left there. So no call fails,
in whichever direction the mode changes, and from whichever step it turns back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tsunagu.model.identity.modes import OFF, STRICT


@dataclass(frozen=True, slots=True)
class Said:
    """What a task says of a port."""

    ready: bool = False
    alone: bool = False


class Seen(NamedTuple):
    """What is known of a port. `fresh`: nobody was ever led to the task. `settled`: every proxy has acknowledged the mode, and
    what the task says. `plain_connections`, `tls_connections`: None: not known.
    """

    identity: bool
    plain: bool
    tls: bool
    fresh: bool
    settled: bool
    plain_connections: int | None
    tls_connections: int | None


class Led(NamedTuple):
    """Where a caller of a port is led that can speak TLS. `port`: the TLS ingress; 0: to plaintext. `alone`: there is nothing else."""

    port: int = 0
    alone: bool = False


class Step(NamedTuple):
    """A step of a port: from what is said, in which mode, when, to what, and what it waits for if it is not time."""

    begins: Callable[[str, Said], bool]
    to: Callable[[Said], Said]
    misses: Callable[[Seen], str]


def _unready(seen: Seen) -> str:
    if not seen.tls:
        return "its TLS ingress is not active yet"
    return "" if seen.identity else "it has no identity yet"


def _unsettled(seen: Seen) -> str:
    return "" if seen.settled else "not all proxies have acknowledged it"


def _plain_used(seen: Seen) -> str:
    if seen.fresh:
        return ""
    return _unsettled(seen) or (_connected(seen.plain_connections, "plain") if seen.plain else "")


def _tls_used(seen: Seen) -> str:
    return _unsettled(seen) or (_connected(seen.tls_connections, "TLS") if seen.tls else "")


def _connected(connections: int | None, which: str) -> str:
    if connections is None:
        return f"it is not known how many connections its {which} ingress has"
    return (
        f"its {which} ingress has {connections} open connection{'s' if connections > 1 else ''}" if connections else ""
    )


#: Of the steps that could be taken, the first.
STEPS: Final = (
    Step(lambda mode, said: mode != OFF and not said.ready, lambda said: replace(said, ready=True), _unready),
    Step(lambda mode, said: mode == STRICT and not said.alone, lambda said: replace(said, alone=True), _plain_used),
    Step(
        lambda mode, said: mode != STRICT and said.alone,
        lambda said: replace(said, alone=False),
        lambda seen: "" if seen.plain else "its plain ingress is not active yet",
    ),
    Step(lambda mode, said: mode == OFF and said.ready, lambda said: replace(said, ready=False), _tls_used),
)


def following(mode: str, said: Said, seen: Seen) -> tuple[Said, str]:
    """Return what is to be said now, and what the next step waits for; empty: there is none."""
    for step in STEPS:
        if step.begins(mode, said):
            misses = step.misses(seen)
            return (said, misses) if misses else (step.to(said), "")
    return said, ""


def led(mode: str | None, said: Said, tls_port: int) -> Led:
    """Return where a caller is led, as proxies are (`tsunagu.mesh.tls`). `mode`: None while it is not known: it is not `off`, then."""
    return Led(tls_port, said.alone) if said.alone or (said.ready and mode != OFF) else Led()


def at_rest(mode: str, said: Said) -> bool:
    """Whether nothing remains to be done."""
    return not any(step.begins(mode, said) for step in STEPS)
