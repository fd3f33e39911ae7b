"""The containers of a task definition as the node agent sees them: what to run, in which order, what an end means. Pure.

Rule: ECS's defaults are applied in `plans` and nowhere after it. (Image objects were applied when the service revision was
made, so that the command that stands in for an image is in `entryPoint` and `command`.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tsunagu.model.statuses import HealthStatus, Status
from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Image
from tsunagu_node.task.check_output import CheckResult
from tsunagu_node.task.health import Check

LONGEST_UNKNOWN: Final = 480.0  # ECS waits 8 minutes at most for a container to know its own health
_STOP_TIMEOUT: Final = 30
_RESTART_PERIOD: Final = 300


_WORST_FIRST: Final = (HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN, HealthStatus.HEALTHY)


@dataclass(frozen=True, slots=True)
class Restart:
    """ECS's restartPolicy: a container that lived for `period` seconds is started again, unless it ended with `ignored`."""

    ignored: frozenset[int]
    period: float


@dataclass(frozen=True, slots=True)
class Container:
    """A container definition with ECS's defaults. `secrets`: (name in the environment, valueFrom)."""

    name: str
    image: Image
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    essential: bool = True
    depends_on: tuple[tuple[str, str], ...] = ()
    check: Check | None = None
    start_timeout: float | None = None
    stop_timeout: float = _STOP_TIMEOUT
    restart: Restart | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The state of a container. `check`: its last check, if that failed. `since`: its last start (monotonic seconds). `pid`: as the machine's own `ps` shows it."""

    status: str = Status.PENDING
    exit_code: int | None = None
    reason: str = ""
    health: str = HealthStatus.UNKNOWN
    check: CheckResult | None = None
    pid: int = 0
    restarts: int = 0
    since: float = 0.0


States = Mapping[str, State]

NOT_STARTED: Final = "CannotStartContainerError: "
"""How the reason of a container begins that could not be started; its name and why follow. The word is ECS's."""


def plans(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> tuple[Container, ...]:
    """Return one for each container definition."""
    return tuple(_plan(container) for container in definition.container_definitions)


def startable(containers: Iterable[Container], states: States) -> list[Container]:
    """Return the containers that are PENDING and whose dependencies hold."""
    return [one for one in containers if states[one.name].status == Status.PENDING and _satisfied(one, states)]


def hopeless(containers: Iterable[Container], states: States, now: float) -> str:
    """Return why a PENDING container can never start; empty while each still may."""
    by_name = {one.name: one for one in containers}
    for one in by_name.values():
        if states[one.name].status != Status.PENDING:
            continue
        for name, condition in one.depends_on:
            why = _never(condition, states[name]) or _too_late(by_name[name], states[name], now)
            if why and not _holds(condition, states[name]):
                return f"{one.name} waits for {name} to be {condition}, but it {why}"
    return ""


def restarts(container: Container, state: State, now: float) -> bool:
    """Return whether a container that has just ended (`state`) is started again."""
    policy = container.restart
    if policy is None or state.exit_code in policy.ignored:
        return False
    return now - state.since >= policy.period


def ended(containers: Iterable[Container], states: States) -> str:
    """Return the name of an essential container that has ended, which ends the task; empty while none has."""
    return next((one.name for one in containers if one.essential and states[one.name].status == Status.STOPPED), "")


def health(containers: Iterable[Container], states: States) -> str:
    """Return the health of the task: the worst of its essential containers that have a check."""
    known = {states[one.name].health for one in containers if one.essential and one.check}
    return next((one for one in _WORST_FIRST if one in known), HealthStatus.UNKNOWN)


def failing_check(containers: Iterable[Container], states: States) -> str:
    """Return what the check of an essential container says that fails; empty if none does."""
    for one in containers:
        result = states[one.name].check
        if one.essential and result is not None:
            return f"the health check of {one.name} {result}"
    return ""


def unknown_until(containers: Iterable[Container], states: States) -> float:
    """Return the time (monotonic seconds) from which an UNKNOWN task counts as healthy."""
    checked = [(states[one.name].since, one.check) for one in containers if one.essential and one.check]
    waits = [since + min(LONGEST_UNKNOWN, check.patience) for since, check in checked]
    return max(waits, default=0.0)


def stop_waves(containers: Iterable[Container]) -> list[list[Container]]:
    """Return the order of stopping: a container stops before those that it depends on; those of one wave stop together."""
    left = {one.name: one for one in containers}
    waves = []
    while left:
        needed = {name for one in left.values() for name, _ in one.depends_on}
        wave = [one for one in left.values() if one.name not in needed] or list(left.values())
        waves.append(wave)
        left = {name: one for name, one in left.items() if one not in wave}
    return waves


def has_failed(state: State) -> bool:
    """Return whether it ended with an error, was started again after one, or is UNHEALTHY."""
    return bool(state.exit_code) or state.restarts > 0 or state.health == HealthStatus.UNHEALTHY


def stopped(state: State, code: int, reason: str = "") -> State:
    """Return the state of a container that has ended with `code`; `reason`: what the code does not say."""
    return replace(state, status=Status.STOPPED, exit_code=code, reason=reason or state.reason, pid=0)


def _satisfied(container: Container, states: States) -> bool:
    return all(_holds(condition, states[name]) for name, condition in container.depends_on)


def _holds(condition: str, state: State) -> bool:
    match condition:
        case "START":
            return state.status != Status.PENDING
        case "COMPLETE":
            return state.status == Status.STOPPED
        case "SUCCESS":
            return state.status == Status.STOPPED and state.exit_code == 0
        case _:
            return state.status == Status.RUNNING and state.health == HealthStatus.HEALTHY


def _never(condition: str, state: State) -> str:
    if condition == "SUCCESS" and state.status == Status.STOPPED and state.exit_code != 0:
        return _how_it_ended(state)
    if condition == "HEALTHY" and state.status == Status.STOPPED:
        return _how_it_ended(state)
    if condition == "HEALTHY" and state.health == HealthStatus.UNHEALTHY:
        return "is UNHEALTHY"
    return ""


def _how_it_ended(state: State) -> str:
    """Say with which code, and what the code does not say."""
    if state.reason.startswith(NOT_STARTED):
        return f"could not be started: {state.reason.removeprefix(NOT_STARTED).partition(': ')[2]}"
    return f"exited with code {state.exit_code}" + (f" ({state.reason})" if state.reason else "")


def _too_late(container: Container, state: State, now: float) -> str:
    limit = container.start_timeout
    if limit is None or state.status == Status.PENDING or now - state.since < limit:
        return ""
    return f"was not within its startTimeout of {limit:g} s"


def _plan(container: ecs_pb2.ContainerDefinition) -> Container:
    return Container(
        name=container.name,
        image=_image(container),
        environment=tuple((pair.name, pair.value) for pair in container.environment),
        secrets=tuple((secret.name, secret.value_from) for secret in container.secrets),
        cwd=container.working_directory,
        essential=container.essential if container.HasField("essential") else True,
        depends_on=tuple((one.container_name, one.condition) for one in container.depends_on),
        check=_check(container.health_check) if container.HasField("health_check") else None,
        start_timeout=container.start_timeout if container.HasField("start_timeout") else None,
        stop_timeout=container.stop_timeout if container.HasField("stop_timeout") else _STOP_TIMEOUT,
        restart=_restart(container.restart_policy) if container.restart_policy.enabled else None,
    )


def _image(container: ecs_pb2.ContainerDefinition) -> Image:
    return Image(container.image, tuple(container.entry_point), tuple(container.command), container)


def _check(check: ecs_pb2.HealthCheck) -> Check | None:
    kind, *rest = check.command or ("NONE",)
    if kind == "NONE":
        return None
    argv = ("/bin/sh", "-c", *rest) if kind == "CMD-SHELL" else tuple(rest) if kind == "CMD" else (kind, *rest)
    given = {
        name: getattr(check, name)
        for name in ("interval", "timeout", "retries", "start_period")
        if check.HasField(name)
    }
    return Check(argv=argv, **given)


def _restart(policy: ecs_pb2.ContainerRestartPolicy) -> Restart:
    period = policy.restart_attempt_period if policy.HasField("restart_attempt_period") else _RESTART_PERIOD
    return Restart(frozenset(policy.ignored_exit_codes), period)
