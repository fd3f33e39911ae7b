from tsunagu.cli.display.events import Line, lines_of
from tsunagu.model import ids
from tsunagu.registry.informer import ObjectChange
from tsunagu.v1 import objects_pb2


def task(last, *, health="", reason="", code="", exit_code=None):
    message = objects_pb2.Task()
    message.status.MergeFrom(
        objects_pb2.TaskStatus(
            last_status=last, health_status=health, ip="10.0.0.5", stopped_reason=reason, stop_code=code
        )
    )
    if exit_code is not None:
        message.status.containers.add(name="app", exit_code=exit_code)
    return ids.make("Task", "default/web-1", message)


def lines(old, new, kind="Task"):
    return list(lines_of(ObjectChange(kind, "default/web-1" if kind == "Task" else "default/web", old, new)))


def test_a_task_is_told_of_when_it_runs():
    assert lines(task("ACTIVATING"), task("RUNNING")) == [Line("task web-1 is running at 10.0.0.5", "green")]
    assert lines(task("RUNNING"), task("RUNNING")) == []
    assert lines(None, task("PROVISIONING")) == []


def test_a_failure_is_red_and_has_its_exit_codes():
    failed = task("STOPPED", reason="Essential container in task exited", code="EssentialContainerExited", exit_code=1)
    text = "task web-1 has stopped: Essential container in task exited (exit codes: app 1)"
    assert lines(task("RUNNING"), failed) == [Line(text, "red")]


def test_a_stop_that_was_asked_for_is_no_failure():
    asked = task("STOPPED", reason="Scaling activity", code="ServiceSchedulerInitiated")
    assert [line.style for line in lines(task("STOPPING"), asked)] == [""]


def test_health_is_told_when_it_turns_bad():
    assert lines(task("RUNNING", health="HEALTHY"), task("RUNNING", health="UNHEALTHY")) == [
        Line("task web-1 is UNHEALTHY", "red")
    ]


def service(*messages):
    body = objects_pb2.Service()
    body.spec.service_name = "web"
    for second, message in enumerate(messages, 1):
        event = body.status.events.add(message=message)
        event.time.seconds = second
    body.status.events.sort(key=lambda event: -event.time.seconds)  # newest first
    return ids.make("Service", "default/web", body)


def test_why_a_task_failed_is_told_with_the_task_and_not_with_its_service_again():
    after = service("(service web) (task web-1) failed: it ended by itself.", "(service web) has started 1 tasks.")
    assert [line.text for line in lines(None, after, "Service")] == ["service default/web has started 1 tasks."]


def test_events_of_a_service_are_told_once_and_in_order():
    before, after = service("(service web) a."), service("(service web) a.", "(service web) b.", "c.")
    assert [line.text for line in lines(before, after, "Service")] == [
        "service default/web b.",
        "service default/web c.",
    ]
    assert lines(after, after, "Service") == []
    assert lines(after, None, "Service") == [Line("service default/web is deleted")]


def test_nodes_come_and_go():
    node = ids.make("Node", "here", objects_pb2.Node(runtime="linux", runtime_reason="namespaces work"))
    change = ObjectChange("Node", "here", None, node)
    assert list(lines_of(change)) == [Line("node here is here: runtime linux, namespaces work")]
    assert list(lines_of(ObjectChange("Node", "here", node, None))) == [Line("node here is gone", "red")]


def test_an_envoy_that_was_killed_leaves_a_line():
    after = task("RUNNING")
    after.task.status.proxy.MergeFrom(objects_pb2.ProxyStatus(restarts=1, exit_code=137))
    text = "the Envoy of task web-1 has ended with exit code 137; it is started again"
    assert lines(task("RUNNING"), after) == [Line(text, "red")]
