"""examples/04-grpc: unary and streaming calls over one channel, while tasks are replaced and killed.

`test_docs_commands` runs the commands of its README.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "04-grpc"
SAY = "grpc://greeter:50051/examples.Greeter/Say"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def talk():
    with Mesh(EXAMPLE / "greeter.yaml", environment={"PATH": PATH}) as mesh:
        mesh.wait_steady()
        yield mesh, mesh.publish("greeter:50051")


def ids(mesh):
    return {task_id(task) for task in mesh.tasks("greeter") if task.task.status.last_status == "RUNNING"}


def wait_called(mesh, tasks):
    """Wait until each of these tasks has had so many more calls that there are unary ones among them."""
    before = {task: called(mesh, task) for task in tasks}
    mesh.wait_until(lambda: all(called(mesh, task) >= count + 8 for task, count in before.items()), 60, "calls of each")


def called(mesh, task):
    (stat,) = mesh.envoy(task, "/stats?format=json&filter=^http.ingress.rpc.downstream_rq_total$").json()["stats"]
    return stat["value"]


def who(answer):
    """The task that said hello."""
    return answer.body.partition(b"this is ")[2].partition(b" ")[0].decode()


def test_the_calls_of_one_channel_go_to_all_copies(talk):
    mesh, _ = talk
    with mesh.load(SAY, Plan(late=60, rps=60, connections=1, label=who)) as load:
        load.wait_requests(60)
    report = load.report()
    assert report.failed == 0, report
    assert set(report.labels) == ids(mesh)
    assert max(report.labels.values()) - min(report.labels.values()) <= 1


@pytest.mark.slow("streams of a second each run before, during and after three tasks are replaced")
def test_unary_calls_and_streams_are_whole_while_all_tasks_are_replaced(talk):
    mesh, address = talk
    before = ids(mesh)
    command = [sys.executable, EXAMPLE / "apps" / "caller.py", address, "120"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        wait_called(mesh, before)
        mesh.apply(text=(EXAMPLE / "changes" / "greeter-version-2.yaml").read_text())
        mesh.wait_until(lambda: len(ids(mesh) - before) == 3 and not before & ids(mesh), 60, "three new tasks")
        wait_called(mesh, ids(mesh))
        caller.terminate()
        said, _ = caller.communicate(timeout=60)
    assert caller.returncode == 0, said
    assert "    0 failed" in said
    assert (said.count("(version 1)"), said.count("(version 2)")) == (3, 3)


def test_calls_without_an_answer_yet_survive_the_death_of_a_task(talk):
    mesh, _ = talk
    mesh.wait_steady()
    with mesh.load(SAY, Plan(late=60, rps=100, connections=20)) as load:
        load.wait_requests(50)
        before = ids(mesh)
        mesh.kill("init:greeter")
        mesh.wait_until(lambda: len(ids(mesh)) == 3 and ids(mesh) != before, 60, "another task")
        load.wait_requests(50)
        report = load.stop()
    assert report.failed == 0, report
