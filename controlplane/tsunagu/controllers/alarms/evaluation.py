"""What becomes of an alarm at one look: its state, if that has changed.

The one rule: a state is written only when its value, or the deployment for which it holds, has changed; what was counted stays out
of the registry. An alarm that is not known to be well is not OK: neither for a deployment that has just begun, nor for a control
plane that has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.controllers.actions import clone, stamp
from tsunagu.controllers.alarms.judging import judge
from tsunagu.model.deployments import alarms
from tsunagu.model.statuses import AlarmState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.controllers.alarms.scopes import Resolved
    from tsunagu.signals.datapoints import Point
    from tsunagu.v1.objects_pb2 import Object

HEARD_WITHIN: Final = 30.0
"""Seconds after the control plane's start within which every node agent should have sent what it keeps."""
STARTED: Final = "the control plane has started, and has not heard of all tasks yet"


@dataclass(frozen=True, slots=True)
class Known:
    """Whether what there is can be taken for all that there is. `since`: the seconds since the control plane's start; `running`:
    names of the RUNNING tasks that the alarm is about, and `heard` of those of which there are samples.
    """

    since: float
    running: frozenset[str]
    heard: frozenset[str]

    @property
    def enough(self) -> bool:
        return self.since >= HEARD_WITHIN or (bool(self.running) and self.running <= self.heard)


def evaluated(alarm: Object, found: Resolved, points: Sequence[Point], known: Known, now: float) -> Object | None:
    """Return the alarm with its new state; None: it stays as it is. `points` are of the scope that was found."""
    spec = alarm.alarm.spec
    before = alarms.state(alarm.alarm, found.deployment)
    if found.scope is None:
        return _with(alarm, AlarmState.INSUFFICIENT_DATA, found.problem, found.deployment, now)
    if not known.enough:
        kept = AlarmState.ALARM if before == AlarmState.ALARM else AlarmState.INSUFFICIENT_DATA
        return _with(alarm, kept, STARTED, found.deployment, now)
    state, reason = judge(points, spec, before)
    return _with(alarm, state, reason, found.deployment, now)


def _with(alarm: Object, state: AlarmState, reason: str, deployment: int, now: float) -> Object | None:
    status = alarm.alarm.status
    if status.state_value == state and status.deployment == deployment:
        return None
    changed = clone(alarm)
    changed.alarm.status.state_value, changed.alarm.status.state_reason = state, reason
    changed.alarm.status.deployment = deployment
    stamp(changed.alarm.status.state_updated_timestamp, now)
    return changed


def unknown_again(found: Iterable[Object], now: float) -> list[Object]:
    """Return the alarms that were OK when a control plane ended: what has happened since, nobody knows."""
    ok = [alarm for alarm in found if alarm.alarm.status.state_value == AlarmState.OK]
    changed = [_with(alarm, AlarmState.INSUFFICIENT_DATA, STARTED, alarm.alarm.status.deployment, now) for alarm in ok]
    return [alarm for alarm in changed if alarm is not None]
