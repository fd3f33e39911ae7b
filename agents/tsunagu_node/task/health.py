"""When is a container healthy? ECS's rules over the results of its check. Pure.

Rule: a failure in the start period does not count, a success does; `retries` failures in a row make it UNHEALTHY. While
nothing has been learned yet the check runs each second instead of each interval, so that nobody waits half a minute for a
container that has long been ready; those early runs can only make it healthy.
"""

from dataclasses import dataclass, replace
from typing import Final

UNKNOWN: Final = "UNKNOWN"
HEALTHY: Final = "HEALTHY"
UNHEALTHY: Final = "UNHEALTHY"
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
        """Seconds after which it has an opinion: what ECS waits before it takes UNKNOWN for well."""
        return self.start_period + (self.interval + self.timeout) * self.retries


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is thought of a container; `counted`: its age (seconds) at the last failure that could count."""

    status: str = UNKNOWN
    failures: int = 0
    counted: float = 0.0


def judge(check: Check, opinion: Opinion, passed: bool, age: float) -> Opinion:
    """The opinion after a run that ended when the container was `age` seconds old."""
    if passed:
        return Opinion(HEALTHY, 0, age)
    if age < check.start_period and opinion.status != HEALTHY:
        return opinion
    if opinion.status == UNKNOWN and age - opinion.counted < check.interval:
        return opinion
    failures = opinion.failures + 1
    status = UNHEALTHY if failures >= check.retries else opinion.status
    return replace(opinion, status=status, failures=failures, counted=age)


def pause(check: Check, opinion: Opinion) -> float:
    """Seconds until the next run."""
    return min(check.interval, _EAGER) if opinion.status == UNKNOWN else check.interval
