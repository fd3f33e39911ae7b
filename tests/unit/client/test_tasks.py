"""Which task a word means."""

import pytest

from tsunagu.client.errors import InvalidRequest, UnknownName
from tsunagu.client.tasks import Tasks
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


def task(name, status="RUNNING", *, revision=1, desired="RUNNING", service="web", cluster="default", **more):
    spec = objects_pb2.TaskSpec(cluster=cluster, service=service, desired_status=desired, **more)
    state = objects_pb2.TaskStatus(last_status=status, stopped_reason="it failed" if status == "STOPPED" else "")
    obj = ids.make("Task", f"{cluster}/{name}", objects_pb2.Task(spec=spec, status=state))
    obj.meta.created_revision = revision
    return obj


OLD, FIRST, SECOND = task("web-11", "STOPPED"), task("web-12", revision=3), task("web-22", revision=2)
OWNERS = ["default/web", "default/orders"]


@pytest.mark.parametrize(
    ("tasks", "word", "name", "why"),
    [
        ([OLD, FIRST, SECOND], "web", "web-22", "task web-22, the oldest of 2 RUNNING tasks of default/web"),
        ([OLD, FIRST], "default/web", "web-12", "task web-12 of default/web"),
        ([task("web-12", "DEACTIVATING")], "web", "web-12", "task web-12 of default/web"),
        ([task("web-1", desired="STOPPED"), SECOND], "web", "web-22", None),
        ([OLD, FIRST], "web-1", "web-12", ""),  # one that has stopped is not meant when another is
        ([OLD, FIRST], "web-11", "web-11", ""),
        ([OLD], "web-1", "web-11", ""),
        ([task("front-1", service="", gateway="front")], "front", "front-1", "task front-1 of front"),
    ],
)
def test_a_name_means_the_oldest_running_task_and_an_id_that_task(tasks, word, name, why):
    choice = Tasks.of(tasks, OWNERS).choose(word)
    assert ids.task_id(choice.task) == name
    assert why is None or choice.why == why


def test_a_service_whose_tasks_have_all_stopped_says_which_was_the_last_and_why():
    with pytest.raises(UnknownName, match="the last, web-11, has stopped: it failed") as caught:
        Tasks.of([OLD], OWNERS).choose("web")
    assert caught.value.right == "name it by its ID, web-11; 'tsunagu ps --all web' lists all"


def test_its_last_line_is_told_as_well():
    failed = task("web-11", "STOPPED")
    failed.task.status.containers.add(name="app", exit_code=1, last_line="KeyError: 'DB_URL'")
    with pytest.raises(UnknownName, match="has stopped: it failed; last line of app: KeyError: 'DB_URL'"):
        Tasks.of([failed], OWNERS).choose("web")


def test_a_service_without_a_task():
    with pytest.raises(UnknownName, match="default/orders has no task"):
        Tasks.of([OLD], OWNERS).choose("orders")


def test_what_is_nothing_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownName, match="no task and no service 'oders'") as caught:
        Tasks.of([FIRST], OWNERS).choose("oders")
    assert caught.value.right == 'did you mean "orders"?'


@pytest.mark.parametrize("word", ["", "web-"])
def test_a_word_never_chooses_between_two_ids(word):
    with pytest.raises(InvalidRequest):
        Tasks.of([FIRST, SECOND], OWNERS).choose(word)


def test_a_name_in_two_clusters_needs_its_cluster():
    tasks = Tasks.of([FIRST, task("web-9", cluster="prod")])
    with pytest.raises(InvalidRequest, match="can mean 2 services"):
        tasks.choose("web")
    assert tasks.choose("prod/web").task.meta.name == "prod/web-9"


def test_a_container_that_is_named_in_the_place_of_its_task_is_found():
    tasks = [task("web-1"), task("api-1", service="api"), task("web-2")]
    for one in tasks:
        one.task.status.containers.add(name="app")
    with pytest.raises(UnknownName, match="there is no task and no service 'app'") as caught:
        Tasks.of(tasks, OWNERS).choose("app")
    assert caught.value.right == "it is a container of api, web: write SERVICE -c app"
