"""One sentence about a task's failure, for status, events and listings."""

import pytest

from tsunagu.model.failures import why_ended, why_not_running
from tsunagu.v1.objects_pb2 import ContainerStatus, Task, TaskSpec, TaskStatus

EXITED = "Essential container in task exited: app, with code 1"


def task(reason="", code="", *containers, waits_for="", asked=""):
    status = TaskStatus(stop_code=code, stopped_reason=reason, containers=containers, waits_for=waits_for)
    return Task(spec=TaskSpec(stop_reason=asked), status=status)


FAILED = ContainerStatus(name="app", exit_code=1, last_line="KeyError: 'DB_URL'")


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (task(EXITED, "EssentialContainerExited", FAILED), f"{EXITED}; last line of app: KeyError: 'DB_URL'"),
        (task(EXITED, "EssentialContainerExited"), EXITED),
        (task("stopped by me", "UserInitiated", FAILED), "stopped by me"),
        (task(asked="fewer tasks are desired"), "fewer tasks are desired"),
        (task(), ""),
    ],
)
def test_the_reason_and_what_the_failed_container_said_last(failed, why):
    assert why_ended(failed) == why


def test_a_task_that_was_replaced_for_its_health_says_what_the_unhealthy_container_said():
    sick = ContainerStatus(name="app", health_status="UNHEALTHY", last_line="pool is exhausted")
    replaced = task("Task failed container health checks", "ServiceSchedulerInitiated", sick)
    assert why_ended(replaced) == "Task failed container health checks; last line of app: pool is exhausted"


def test_what_a_task_waits_for():
    assert why_not_running(task(waits_for="nothing in it listens at port 80")) == (
        "waits: nothing in it listens at port 80"
    )
    assert why_not_running(task(asked="asked", waits_for="web-1: EDS not acknowledged for 6.0 s")) == (
        "asked; waits: web-1: EDS not acknowledged for 6.0 s"
    )


def test_a_failed_health_check_says_what_it_wrote():
    sick = ContainerStatus(name="db", health_status="UNHEALTHY", last_line="ready")
    sick.health_output.exit_code, sick.health_output.output = 127, "sh: 1: pg_isready: not found"
    replaced = task("Task failed container health checks", "ServiceSchedulerInitiated", sick)
    assert why_ended(replaced) == (
        "Task failed container health checks; health check of db ended with 127: sh: 1: pg_isready: not found; last line of db: ready"
    )
    sick.health_output.timed_out = True
    assert "health check of db did not end in time" in why_ended(task("x", "ServiceSchedulerInitiated", sick))
