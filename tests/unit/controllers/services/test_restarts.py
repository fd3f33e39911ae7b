"""How long the replacement of a task waits, as a table over the tasks that are there."""

import pytest

from tests.unit.controllers.world import NOW, POLICY, at, task
from tsunagu.controllers import task_state
from tsunagu.controllers.services.restarts import restart

DIED = {"last": "STOPPED", "code": "EssentialContainerExited"}
ILL = {"last": "STOPPED", "desired": False, "reason": task_state.FAILED_HEALTH_CHECKS}


@pytest.mark.parametrize(
    ("peers", "attempt", "wait"),
    [
        ([], 0, 0),
        ([task()], 0, 0),
        # The first failure is replaced at once, then the delay doubles.
        ([task(**DIED, started=2, stopped=0)], 1, 0),
        ([task(**DIED, attempt=1, started=2, stopped=0)], 2, 1),
        ([task(**DIED, attempt=2, started=2, stopped=0)], 3, 2),
        ([task(**DIED, attempt=30, stopped=0)], 31, 900),
        # The delay counts from the end of the one that failed.
        ([task(**DIED, attempt=4, stopped=3)], 5, 5),
        # It never got RUNNING at all.
        ([task(last="STOPPED", code="TaskFailedToStart", attempt=1, stopped=0)], 2, 1),
        # It is still ending, by itself: no stop code yet.
        ([task(last="DEACTIVATING", started=2)], 1, 0),
        ([task(last="STOPPING", started=2, attempt=3)], 4, 4),
        # It ran for long and was killed: at once, as if for the first time.
        ([task(**DIED, attempt=7, started=11, stopped=1)], 0, 0),
        # Somebody stopped it; that is no failure.
        ([task(last="STOPPED", desired=False, code="UserInitiated", attempt=5, stopped=0)], 0, 0),
        ([task(last="STOPPED", desired=False, code="EssentialContainerExited", attempt=5, stopped=0)], 6, 16),
        # Failed health checks take their time; it needs longer to count as having run well.
        ([task(**ILL, attempt=2, started=90, stopped=0)], 3, 2),
        ([task(**ILL, attempt=2, started=700, stopped=0)], 0, 0),
        # A task made later that runs well ends the row; one made before does not, nor one made at the same time.
        ([task(0, **DIED, attempt=5, stopped=20), task(1, started=12)], 0, 0),
        ([task(1, **DIED, attempt=5, stopped=0), task(0, started=60)], 6, 16),
        ([at(task(1, **DIED, attempt=5, stopped=0), 10), at(task(0, started=60), 10)], 6, 16),
        # Of several the longest wait counts.
        ([task(0, **DIED, attempt=4, stopped=1), task(1, **DIED, stopped=0)], 5, 7),
        # A node's clock that is ahead does not delay anything further.
        ([task(**DIED, attempt=1, stopped=-5000)], 2, 1),
    ],
)
def test_the_delay_before_the_next_task(peers, attempt, wait):
    found = restart(peers, NOW, POLICY)
    assert found.attempt == attempt
    assert max(0, round(found.ready_at - NOW, 3)) == wait


@pytest.mark.parametrize("now", [NOW, NOW + 60])
def test_which_failure_is_the_newest_does_not_depend_on_the_clock(now):
    """It stands in the service's status, which is written only when something has changed."""
    ending, over = (
        task(1, "STOPPING", reason=task_state.FAILED_HEALTH_CHECKS, desired=False),
        task(2, **DIED, stopped=0),
    )
    assert restart([ending, over], now, POLICY).failure is ending
