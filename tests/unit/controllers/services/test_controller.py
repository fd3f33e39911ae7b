"""One look at one service: what is decided, what it says of itself, and when it will look again."""

from dataclasses import replace

import pytest

from tests.unit.controllers.world import NEW, NOW, OLD, POLICY, at, service, service_revision, task
from tsunagu.controllers import task_state
from tsunagu.controllers.actions import Change, Create, Remove
from tsunagu.controllers.services.controller import plan_service
from tsunagu.controllers.services.placement import NodeLoad
from tsunagu.controllers.services.revisions import DesiredRevision
from tsunagu.controllers.services.state import ServiceState
from tsunagu.model import ids

ONE = (NodeLoad("one", 0),)


def state(found=None, tasks=(), *, desired=None, revisions=(), nodes=ONE, deployments=()):
    return ServiceState(
        "default/orders",
        found,
        desired or DesiredRevision(service_revision()),
        tuple(tasks),
        tuple(revisions),
        nodes,
        deployments=tuple(deployments),
    )


def begun(plan):
    """The deployment that a plan has begun, as the registry has it then."""
    return [at(obj, 2) for obj in of_kind(plan, "ServiceDeployment", Create)]


def planned(*arguments, now=NOW, **more):
    return plan_service(state(*arguments, **more), now, POLICY)


def of_kind(plan, kind, action):
    return [each.obj for each in plan.actions if isinstance(each, action) and ids.kind_of(each.obj) == kind]


def status(plan):
    [obj] = of_kind(plan, "Service", Change)
    return obj.service.status


def messages(plan):
    return [event.message for event in status(plan).events]


def settled(tasks, desired=1, **more):
    """A service and its state, once its status has been written."""
    found = service(desired, **more)
    plan = plan_service(state(found, tasks), NOW, POLICY)
    [found] = of_kind(plan, "Service", Change)
    return found


def test_a_started_task_holds_all_that_its_node_needs():
    [obj] = of_kind(planned(service(1)), "Task", Create)
    spec = obj.task.spec
    assert (spec.cluster, spec.service, spec.service_revision) == ("default", "orders", NEW)
    assert (spec.namespace, spec.node, spec.desired_status, spec.attempt) == ("shop", "one", "RUNNING", 0)
    assert obj.task.status.created_at.seconds == NOW
    assert obj.task.status.last_status == ""
    assert obj.meta.name.startswith("default/orders-")
    assert len(obj.meta.name) == len("default/orders-xxxxxxxx")


def test_the_same_state_gives_the_same_names_and_another_state_others():
    names = [
        {obj.meta.name for obj in of_kind(planned(found), "Task", Create)}
        for found in (service(3), service(3), service(3, revision=2))
    ]
    assert names[0] == names[1]
    assert not names[0] & names[2]
    assert len(names[0]) == 3


def test_a_service_that_needs_images_says_which_node_it_lacks():
    desired = DesiredRevision(service_revision())
    desired.revision.service_revision.task_definition.container_definitions.add(name="app")
    reason = status(planned(service(1), desired=desired, nodes=())).reason
    assert "no node that runs containers in their images (runtime docker) is READY" in reason


def test_a_name_that_is_taken_is_passed_over():
    [first] = of_kind(planned(service(1)), "Task", Create)
    first.task.spec.CopyFrom(task(revision=OLD).task.spec)
    [second] = of_kind(planned(service(1), [first]), "Task", Create)
    assert second.meta.name != first.meta.name


def test_a_revision_that_is_new_is_put_with_its_first_tasks():
    fresh = service_revision(revision=0)
    plan = planned(service(1), desired=DesiredRevision(fresh))
    assert of_kind(plan, "ServiceRevision", Create) == [fresh]
    assert status(plan).revision == NEW
    assert of_kind(planned(service(1)), "ServiceRevision", Create) == []


@pytest.mark.parametrize(
    ("tasks", "counts", "rollout", "reason"),
    [
        ([], (2, 0, 2, 0), "IN_PROGRESS", "0 of 2 tasks are RUNNING"),
        ([task(0), task(1, "PENDING")], (2, 1, 1, 1), "IN_PROGRESS", "1 of 2 tasks are RUNNING"),
        ([task(0), task(1)], (2, 2, 0, 2), "COMPLETED", ""),
        ([task(0), task(1), task(2, "STOPPED", desired=False, stopped=1)], (2, 2, 0, 2), "COMPLETED", ""),
    ],
)
def test_what_a_service_says_of_itself(tasks, counts, rollout, reason):
    written = status(planned(service(2), tasks))
    assert (written.desired_count, written.running_count, written.pending_count, written.updated_count) == counts
    assert (written.rollout_state, written.reason) == (rollout, reason)


def test_a_service_says_what_its_first_waiting_task_waits_for():
    tasks = [task(number, "ACTIVATING") for number in range(2)]
    tasks[1].task.status.waits_for = "nothing in it listens at port 80"
    reason = "0 of 2 tasks are RUNNING; task orders-00000001 waits: nothing in it listens at port 80"
    assert status(planned(service(2), tasks)).reason == reason


REPLACING = "tasks of an earlier revision are being replaced: 0 of 1 are of the new one"
WAITS_FOR_ITS_TURN = task(1, "STOPPED", code="TaskFailedToStart", attempt=4, stopped=1)  # its successor is not due yet


@pytest.mark.parametrize(
    ("successor", "counts", "reason"),
    [
        (task(1, "PENDING"), (1, 0, 1), REPLACING),
        (
            WAITS_FOR_ITS_TURN,
            (1, 0, 0),
            f"{REPLACING}; task orders-00000001 failed (5 in a row): it is ending by itself",
        ),
    ],
    ids=["it starts", "it failed and waits"],
)
def test_while_old_tasks_remain_the_rollout_is_in_progress(successor, counts, reason):
    written = status(planned(service(1), [task(0, revision=OLD), successor]))
    assert (written.running_count, written.updated_count, written.pending_count) == counts
    assert written.rollout_state == "IN_PROGRESS"
    assert written.reason == reason


def test_a_status_that_would_be_the_same_is_not_written():
    found = settled([task(0)])
    plan = planned(found, [task(0)], now=NOW + 1000)
    assert plan.actions == ()


def test_a_task_that_dies_does_not_reopen_a_rollout():
    found = settled([task(0)])
    plan = planned(found, [task(0, "STOPPED", code="EssentialContainerExited", started=60, stopped=0)])
    assert status(plan).rollout_state == "COMPLETED"
    started, failed, *_ = messages(plan)
    assert started.startswith("(service orders) has started 1 tasks: (task orders-")
    assert failed.startswith("(service orders) (task orders-00000000) failed: it ended by itself.")


def test_why_a_task_failed_stays_in_reason_and_events_while_the_old_tasks_run():
    failed = task(1, "STOPPED", code="EssentialContainerExited", stopped=1)
    failed.task.status.stopped_reason = "Essential container in task exited: app, with code 1"
    failed.task.status.containers.add(name="app", exit_code=1, last_line="KeyError: 'DB_URL'")
    why = "Essential container in task exited: app, with code 1; last line of app: KeyError: 'DB_URL'"
    tasks = [task(0, revision=OLD), failed]
    found = service(1)
    written = status(planned(found, tasks))
    assert written.reason == f"{REPLACING}; task orders-00000001 failed (1 in a row): {why}"
    assert written.events[-1].message == f"(service orders) (task orders-00000001) failed: {why}."
    found.service.status.CopyFrom(written)
    again = [event.message for event in status(planned(found, tasks)).events]
    assert [text for text in again if "failed" in text] == [written.events[-1].message], "it is told once"


def test_events_tell_the_story_newest_first_and_are_bounded():
    found = settled([task(0)])
    assert [event.message for event in found.service.status.events] == [
        "(service orders) has reached a steady state.",
        "(service orders) (revision new) deployment completed.",
    ]
    for index in range(200):
        found.service.status.events.add(message=str(index))
    assert len(status(planned(found, [])).events) == POLICY.events_kept


def test_an_unhealthy_task_is_stopped_and_replaced():
    ill = task(0, health="UNHEALTHY", started=60)
    plan = planned(service(1), [ill])
    [stopped] = of_kind(plan, "Task", Change)
    spec = stopped.task.spec
    assert (spec.desired_status, spec.stop_code, spec.stop_reason) == (
        "STOPPED",
        "ServiceSchedulerInitiated",
        "Task failed container health checks",
    )
    assert stopped.meta.revision == ill.meta.revision
    assert len(of_kind(plan, "Task", Create)) == 1
    assert messages(plan)[-1] == "(service orders) (task orders-00000000) failed container health checks."
    assert ill.task.spec.desired_status == "RUNNING"  # the plan works on copies


def test_within_its_grace_period_an_unhealthy_task_is_left_alone():
    found = service(1, health_check_grace_period_seconds=90)
    plan = planned(found, [task(0, health="UNHEALTHY", started=60)])
    assert of_kind(plan, "Task", Change) == []
    assert plan.wake_at == NOW + 30
    assert of_kind(planned(found, [task(0, health="UNHEALTHY", started=60)], now=NOW + 30), "Task", Change)


def test_a_task_that_keeps_failing_is_waited_for_and_the_reason_says_why():
    failed = task(0, "STOPPED", code="EssentialContainerExited", attempt=4, stopped=3)
    failed.task.status.stopped_reason = "Essential container in task exited (app: 1)"
    plan = planned(service(1), [failed])
    assert of_kind(plan, "Task", Create) == []
    assert plan.wake_at == NOW + 5
    assert status(plan).reason == (
        "0 of 1 tasks are RUNNING; task orders-00000000 failed (5 in a row): Essential container in task exited (app: 1)"
    )
    later = planned(service(1), [failed], now=NOW + 5)
    [obj] = of_kind(later, "Task", Create)
    assert obj.task.spec.attempt == 5
    assert messages(later)[0] == "(service orders) is unable to consistently start tasks successfully."


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((), "was unable to place 2 tasks: no node is READY; `tsunagu get nodes` says why"),
        ((NodeLoad("one", 2, tasks=2),), "was unable to place 2 tasks: every node is full"),
    ],
)
def test_tasks_that_find_no_node_are_said_once(nodes, why):
    plan = planned(service(2), nodes=nodes)
    assert status(plan).reason == why
    assert messages(plan) == [f"(service orders) {why}."]
    [found] = of_kind(plan, "Service", Change)
    assert planned(found, nodes=nodes, deployments=begun(plan), now=NOW + 60).actions == ()


def failing():
    """A task of the desired revision that failed as the third in a row, long ago."""
    failed = task(1, "STOPPED", code="EssentialContainerExited", attempt=2, stopped=300)
    failed.task.status.stopped_reason = "Essential container in task exited: app, with code 1"
    return failed


FAILURE = "task orders-00000001 failed (3 in a row): Essential container in task exited: app, with code 1"


@pytest.mark.parametrize("nodes", [(), (NodeLoad("one", 2, tasks=2),)], ids=["no node", "every node is full"])
def test_that_there_is_no_room_hides_no_failure_and_is_said_once(nodes):
    plan = planned(service(1), [failing()], nodes=nodes)
    no_room, _, failure = status(plan).reason.partition("; task")
    assert no_room.startswith("was unable to place 1 tasks: ")
    assert f"task{failure}" == FAILURE
    assert messages(plan)[0] == f"(service orders) {no_room}."
    [found] = of_kind(plan, "Service", Change)
    assert planned(found, [failing()], nodes=nodes, deployments=begun(plan), now=NOW + 60).actions == ()


def test_percentages_without_room_are_named():
    plan = planned(service(1, minimum=100, maximum=100), [task(0, revision=OLD)])
    assert "leave no room to replace a task" in status(plan).reason
    plan = planned(service(1, minimum=100, maximum=100), [task(0, revision=OLD), failing()])
    assert status(plan).reason.endswith(f": lower the one or raise the other; {FAILURE}")


def test_what_cannot_be_resolved_hides_no_failure_of_the_revision_that_runs():
    last = service_revision(OLD)
    lost = DesiredRevision(last, "taskDefinition: no task definition 'orders:9' is registered")
    failed = failing()
    failed.task.spec.service_revision = OLD
    plan = planned(service(1), [failed], desired=lost, revisions=[last])
    assert status(plan).reason == f"{lost.problem}; {FAILURE}"


def test_what_cannot_be_resolved_tears_nothing_down_and_keeps_the_last_revision_going():
    last = service_revision(OLD)
    lost = DesiredRevision(last, "taskDefinition: no task definition 'orders:9' is registered")
    found = service(2)
    found.service.status.revision = OLD
    plan = planned(found, [task(0, revision=OLD)], desired=lost, revisions=[last])
    assert of_kind(plan, "Task", Change) == []
    assert [obj.task.spec.service_revision for obj in of_kind(plan, "Task", Create)] == [OLD]
    assert status(plan).reason == lost.problem


def test_a_service_that_never_had_a_revision_waits_for_one():
    plan = planned(service(2), [task(0)], desired=DesiredRevision(None, "no such task definition"))
    assert of_kind(plan, "Task", Change) == of_kind(plan, "Task", Create) == []
    assert (status(plan).revision, status(plan).reason) == ("", "no such task definition")


def test_records_of_stopped_tasks_go_after_an_hour_or_when_there_are_newer_ones():
    over = [task(index, "STOPPED", desired=False, stopped=index * 10) for index in range(1, 13)]
    plan = planned(service(0), over)
    assert {obj.meta.name[-1] for obj in of_kind(plan, "Task", Remove)} == {"b", "c"}
    old = task(0, "STOPPED", desired=False, stopped=3600)
    assert of_kind(planned(service(0), [old]), "Task", Remove) == [old]
    assert planned(service(0), [old], now=NOW - 60).wake_at == NOW


def test_revisions_that_nothing_uses_go_but_for_the_newest():
    revisions = [service_revision(f"default/orders/{index}", revision=index) for index in range(1, 8)]
    used = task(0, "STOPPED", revision="default/orders/1", desired=False, stopped=1)
    plan = planned(service(0), [used], desired=DesiredRevision(revisions[1]), revisions=revisions)
    gone = {obj.meta.name[-1] for obj in of_kind(plan, "ServiceRevision", Remove)}
    assert gone == {"3", "4"}


def test_a_deleted_service_is_drained_and_then_gone():
    revisions = [service_revision(OLD), service_revision()]
    tasks = [task(0), task(1, "STOPPED", revision=OLD), task(2, "STOPPING", desired=False)]
    plan = plan_service(state(None, tasks, desired=DesiredRevision(None), revisions=revisions), NOW, POLICY)
    assert [obj.meta.name for obj in of_kind(plan, "Task", Change)] == ["default/orders-00000000"]
    assert [obj.task.spec.stop_reason for obj in of_kind(plan, "Task", Change)] == [
        "Service default/orders was deleted"
    ]
    assert of_kind(plan, "Task", Remove) == [tasks[1]]
    assert of_kind(plan, "ServiceRevision", Remove) == [revisions[0]]
    empty = replace(state(None, (), desired=DesiredRevision(None)), revisions=(revisions[1],))
    assert of_kind(plan_service(empty, NOW, POLICY), "ServiceRevision", Remove) == [revisions[1]]


def test_a_task_that_somebody_stopped_is_replaced_while_it_drains():
    leaving = task(0, "RUNNING", desired=False, code="")
    leaving.task.spec.stop_code = "UserInitiated"
    plan = planned(service(1), [leaving])
    assert len(of_kind(plan, "Task", Create)) == 1
    assert task_state.is_desired(leaving) is False


def daemon(**more):
    found = service(1, **more)
    found.service.spec.scheduling_strategy = "DAEMON"
    return found


def test_a_daemon_has_one_task_on_each_node():
    nodes = (NodeLoad("one", 0), NodeLoad("two", 0), NodeLoad("three", 0, tasks=1, siblings=1))
    there = task(0, "RUNNING", revision=NEW)
    there.task.spec.node = "three"
    plan = planned(daemon(), [there], nodes=nodes)
    assert {obj.task.spec.node for obj in of_kind(plan, "Task", Create)} == {"one", "two"}
    assert status(plan).desired_count == 3


def test_a_daemons_task_on_a_lost_node_is_no_surplus_of_another():
    tasks = [task(index, "RUNNING", revision=NEW) for index in (0, 1)]
    tasks[0].task.spec.node, tasks[1].task.spec.node = "one", "lost"
    plan = planned(daemon(), tasks)
    assert [of_kind(plan, "Task", action) for action in (Create, Change)] == [[], []]
    assert status(plan).desired_count == 2


def test_how_requests_are_shared_stays_as_whoever_shifts_them_has_set_it():
    found = settled([task(0)])
    found.service.status.traffic.weights.add(revision=NEW, weight=1000)
    after = status(planned(found, [task(0), task(1)]))
    assert after.traffic == found.service.status.traffic
    assert not status(planned(service(1), [task(0)])).HasField("traffic")
