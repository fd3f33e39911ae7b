"""When an Envoy is started, restarted and killed: a table over its states and events, so that every case is seen.

Rule: the plan decides, its caller acts. `advance` takes an event and the time and returns the next state with at most one
action; it knows neither processes nor clocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from tsunagu.kit.backoff import Backoff


class State(StrEnum):
    """The state of a task's proxy, as in `ProxyStatus.state`."""

    STARTING = "STARTING"
    LIVE = "LIVE"
    RESTARTING = "RESTARTING"
    STOPPED = "STOPPED"


class Action(StrEnum):
    """What the caller has to do: SPAWN: start a process; KILL: send SIGKILL; TERMINATE: send SIGTERM."""

    SPAWN = "SPAWN"
    TERMINATE = "TERMINATE"
    KILL = "KILL"


@dataclass(frozen=True, slots=True)
class Exited:
    """The process has ended. `code`: its exit code, 128 + signal when a signal killed it."""

    code: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Its admin interface says LIVE."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Envoy is to end."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed (at `Supervision.deadline`, or any time)."""


Event: TypeAlias = Exited | Ready | Stop | Tick


_RESTARTS: Final = Backoff(base=0.1, cap=5.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. A process that is not live `start_timeout` after its start is killed. One that was live for `settled`
    counts as healthy: its next exit is a first failure. `restarts`: the delay before the start that follows an exit.
    """

    restarts: Backoff = _RESTARTS
    start_timeout: float = 30.0
    stop_timeout: float = 5.0
    settled: float = 30.0


@dataclass(frozen=True, slots=True)
class Supervision:
    """The plan of one Envoy. `since`: the start of this state. `deadline`: when a Tick is due; None: never. Both are on the
    caller's monotonic clock. `failures`: exits in a row without having settled. `exit_code`: that of the last process.
    """

    state: State
    since: float
    deadline: float | None
    restarts: int = 0
    failures: int = 0
    exit_code: int | None = None
    running: bool = False
    limits: Limits = Limits()


Step: TypeAlias = tuple[Supervision, Action | None]


def begin(now: float, limits: Limits | None = None) -> Step:
    """Return the plan of a new Envoy, with the action to start it."""
    limits = limits or Limits()
    return _starting(Supervision(State.STARTING, now, None, limits=limits), now)


def adopt(now: float, *, restarts: int = 0, limits: Limits | None = None) -> Supervision:
    """Return the plan of an Envoy that already runs (the agent was restarted); it is STARTING until Ready."""
    limits = limits or Limits()
    deadline = now + limits.start_timeout
    return Supervision(State.STARTING, now, deadline, restarts=restarts, running=True, limits=limits)


def advance(at: Supervision, event: Event, now: float) -> Step:
    """Return the plan after `event`, and what to do. A pair that is not in the table changes nothing."""
    rule = _TABLE.get((at.state, type(event)))
    return rule(at, event, now) if rule else (at, None)


def _starting(at: Supervision, now: float) -> Step:
    deadline = now + at.limits.start_timeout
    return replace(at, state=State.STARTING, since=now, deadline=deadline, running=True), Action.SPAWN


def _live(at: Supervision, _event: Event, now: float) -> Step:
    return replace(at, state=State.LIVE, since=now, deadline=None), None


def _died(at: Supervision, event: Event, now: float) -> Step:
    settled = at.state is State.LIVE and now - at.since >= at.limits.settled
    failures = 1 if settled else at.failures + 1
    deadline = now + at.limits.restarts.delay(failures)
    after = replace(at, state=State.RESTARTING, since=now, deadline=deadline, failures=failures, running=False)
    return replace(after, restarts=at.restarts + 1, exit_code=_code(event)), None


def _start_again(at: Supervision, _event: Event, now: float) -> Step:
    return _starting(at, now) if _due(at, now) else (at, None)


def _start_took_too_long(at: Supervision, _event: Event, now: float) -> Step:
    return (replace(at, deadline=None), Action.KILL) if _due(at, now) else (at, None)


def _stop(at: Supervision, _event: Event, now: float) -> Step:
    deadline = now + at.limits.stop_timeout if at.running else None
    action = Action.TERMINATE if at.running else None
    return replace(at, state=State.STOPPED, since=now, deadline=deadline), action


def _gone(at: Supervision, event: Event, _now: float) -> Step:
    return replace(at, running=False, deadline=None, exit_code=_code(event)), None


def _stop_took_too_long(at: Supervision, _event: Event, now: float) -> Step:
    return (replace(at, deadline=None), Action.KILL) if at.running and _due(at, now) else (at, None)


def _due(at: Supervision, now: float) -> bool:
    return at.deadline is not None and now >= at.deadline


def _code(event: Event) -> int | None:
    return event.code if isinstance(event, Exited) else None


_Rule: TypeAlias = Callable[[Supervision, Event, float], Step]
_TABLE: Final[dict[tuple[State, type[Event]], _Rule]] = {
    (State.STARTING, Ready): _live,
    (State.STARTING, Exited): _died,
    (State.STARTING, Tick): _start_took_too_long,
    (State.STARTING, Stop): _stop,
    (State.LIVE, Exited): _died,
    (State.LIVE, Stop): _stop,
    (State.RESTARTING, Tick): _start_again,
    (State.RESTARTING, Stop): _stop,
    (State.STOPPED, Exited): _gone,
    (State.STOPPED, Tick): _stop_took_too_long,
}
