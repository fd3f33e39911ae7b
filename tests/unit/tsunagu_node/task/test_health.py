"""ECS's rules of health checks."""

import pytest

from tsunagu.model.statuses import HealthStatus
from tsunagu_node.task.health import Check, Health, evaluate, pause

UNKNOWN, HEALTHY, UNHEALTHY = HealthStatus

CHECK = Check(("true",), interval=10, timeout=2, retries=3)


def after(check, *runs):
    """Return the health after runs, each (passed, age)."""
    health = Health()
    for passed, age in runs:
        health = evaluate(check, health, passed, age)
    return health


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        ([], UNKNOWN),
        ([(True, 1)], HEALTHY),
        ([(False, 10), (False, 20)], UNKNOWN),
        ([(False, 10), (False, 20), (False, 30)], UNHEALTHY),
        ([(False, 10), (False, 20), (True, 30), (False, 40), (False, 50)], HEALTHY),
        ([(True, 1), (False, 11), (False, 21), (False, 31)], UNHEALTHY),
        ([(True, 1), (False, 11), (False, 21), (False, 31), (True, 41)], HEALTHY),
    ],
)
def test_retries_failures_in_a_row_make_it_unhealthy(runs, status):
    assert after(CHECK, *runs).status == status


def test_early_runs_only_count_once_per_interval_while_nothing_is_known():
    early = [(False, float(age)) for age in range(1, 30)]
    assert after(CHECK, *early).status == UNKNOWN
    assert after(CHECK, *early, (False, 30.0)).status == UNHEALTHY


def test_failures_in_the_start_period_do_not_count_and_a_success_does():
    slow = Check(("true",), interval=10, retries=1, start_period=60)
    assert after(slow, (False, 10), (False, 50)).status == UNKNOWN
    assert after(slow, (False, 10), (True, 20)).status == HEALTHY
    assert after(slow, (True, 20), (False, 30)).status == UNHEALTHY
    assert after(slow, (False, 10), (False, 60)).status == UNHEALTHY


def test_it_is_eager_until_it_knows():
    assert pause(CHECK, Health()) == 1.0
    assert pause(CHECK, Health(HEALTHY)) == 10
    assert pause(Check(("true",), interval=0.2), Health()) == 0.2


def test_patience_is_when_it_would_have_become_unhealthy():
    assert Check(("true",), interval=10, timeout=2, retries=3, start_period=5).patience == 41
