"""The health of a container by ECS's rules, from the results of its check. Pure.

Rule: a failure in the start period does not count, a success does; `retries` failures in a row make it UNHEALTHY. While
nothing has been learned yet the check runs each second instead of each interval, so that nobody waits half a minute for a
container that has long been ready; those early runs can only make it healthy.
"""

from dataclasses import dataclass, replace
from typing import Final

from tsunagu.model.statuses import HealthStatus

_EAGER: Final = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """ECS's healthCheck with its defaults; seconds. `argv` is run inside the task."""

    argv: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0

    @property
    def patience(self) -> float:
        """Seconds until a check that keeps failing has made the container UNHEALTHY; ECS waits as long for an UNKNOWN one."""
        return self.start_period + (self.interval + self.timeout) * self.retries


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one container.

    `failures`: failures in a row that counted. `counted`: the container's age (seconds) when the last of them, or the
    last success, ended; while the status is UNKNOWN the next failure counts one interval after it.
    """

    status: str = HealthStatus.UNKNOWN
    failures: int = 0
    counted: float = 0.0


def evaluate(check: Check, before: Health, passed: bool, age: float) -> Health:
    """Return the health after a run of the check that ended when the container was `age` seconds old."""
    if passed:
        return Health(HealthStatus.HEALTHY, 0, age)
    if age < check.start_period and before.status != HealthStatus.HEALTHY:
        return before
    if before.status == HealthStatus.UNKNOWN and age - before.counted < check.interval:
        return before
    failures = before.failures + 1
    status = HealthStatus.UNHEALTHY if failures >= check.retries else before.status
    return replace(before, status=status, failures=failures, counted=age)


def pause(check: Check, health: Health) -> float:
    """Return the seconds until the next run of the check."""
    return min(check.interval, _EAGER) if health.status == HealthStatus.UNKNOWN else check.interval
