"""The alarms of a deployment: which are monitored, whether one sends it back, and for which a bake waits.

The one rule: no data is never good news. A bake waits for an alarm of which there is no data, and only OK lets it pass.

As in AWS, none is monitored for the whole deployment if one is in ALARM when it begins: so that what raised the alarm can be mended
by a deployment. Sources: ECS Developer Guide, how CloudWatch alarms detect deployment failures; ECS API Reference,
ServiceDeploymentAlarms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers.deployments import breaker
from tsunagu.model.deployments import alarms
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import AlarmsStatus, AlarmState
from tsunagu.v1.deployments_pb2 import AlarmsState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object


def observed(body: ServiceDeployment, number: int, known: Mapping[str, Object]) -> AlarmsState:
    """Return their state after a look. `known`: the alarms that there are, by name; `number`: of the deployment."""
    state, config = AlarmsState(), body.configuration.alarms
    state.CopyFrom(body.alarms)
    there = {name: known[name].alarm for name in config.alarm_names if name in known}
    if not state.status:
        _begin(state, {name: alarms.state(alarm, number) for name, alarm in there.items()}, enable=config.enable)
    if state.status != AlarmsStatus.MONITORING:
        return state
    state.window_seconds = max((alarms.window(alarm.spec) for alarm in there.values()), default=0.0)
    values = {name: alarms.state(alarm, number) for name, alarm in there.items()}
    state.triggered_alarm_names[:] = [name for name, value in values.items() if value == AlarmState.ALARM]
    awaited = [name for name, value in values.items() if value == AlarmState.INSUFFICIENT_DATA]
    state.awaited_alarm_names[:] = awaited if body.source_revision else []
    if state.triggered_alarm_names:
        state.status = AlarmsStatus.TRIGGERED
    return state


def _begin(state: AlarmsState, values: Mapping[str, AlarmState], *, enable: bool) -> None:
    if enable:
        state.ignored_alarm_names[:] = [name for name, value in values.items() if value == AlarmState.ALARM]
    monitored = enable and not state.ignored_alarm_names
    state.status = AlarmsStatus.MONITORING if monitored else AlarmsStatus.DISABLED


def why(body: ServiceDeployment, number: int, known: Mapping[str, Object], tasks: Iterable[Object]) -> str:
    """Return in one sentence why it goes back, with the last line of the newest task that failed, if one has."""
    told = [
        f"{name} is in ALARM: {known[name].alarm.status.state_reason}"
        for name in body.alarms.triggered_alarm_names
        if name in known
    ]
    failed = breaker.newest_failed(body, number, tasks)
    ended = why_ended(failed.task) if failed is not None else ""
    return "alarm " + " and ".join(told) + (f"; its last task that failed: {ended}" if ended else "")
