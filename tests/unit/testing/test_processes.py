import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tsunagu.testing import processes
from tsunagu.testing.leaks import left_behind, namespace_of, network_namespaces, ticks
from tsunagu.testing.processes import Process, Processes, belonging, of_home

HOME = Path("/no/such/home")


def process(pid, parent, *command, name="python3"):
    return Process(pid, 1, parent, name, command)


TABLE = {
    made.pid: made
    for made in (
        process(9, 1, "python3", "-I", "/x/kit/tether.py", "3", "python3", "up", "--home", "/no/such/home"),
        process(10, 9, "python3", "-m", "tsunagu.cli", "up", "--home", "/no/such/home"),
        process(11, 10, "python3", "-m", "tsunagu.cli.local.control_plane", "/no/such/home"),
        process(12, 10, "python3", "-m", "tsunagu_node", "--home", "/no/such/home"),
        process(13, 1, "python3", "-c", "...", "/no/such/home", "7", name="tsunagu-janitor"),
        process(14, 13, "python3", "-c", "...", "/no/such/home", "7", name="tsunagu-sandbox"),
        process(20, 14, "python3", "-c", "...", "/no/such/home/tasks/orders-1", "orders-1", name="tsunagu-init"),
        process(21, 20, "/bin/envoy", "--config-path", "/no/such/home/tasks/orders-1/envoy.json", name="envoy"),
        process(22, 20, "python3", "orders.py"),
        process(23, 22, "python3", "worker.py"),
        process(30, 1, "vim", "/no/such/homework"),
        process(31, 1, "python3", "orders.py"),
    )
}


def test_the_members_of_a_mesh_are_found_with_their_children_and_no_others():
    assert [member.pid for member in belonging(TABLE, HOME)] == [9, 10, 11, 12, 13, 14, 20, 21, 22, 23]


def test_they_are_told_apart():
    found = processes._classified(belonging(TABLE, HOME))
    alone = (found.up, found.serve, found.node, found.janitor, found.sandbox)
    assert [member.pid for member in alone] == [10, 11, 12, 13, 14]
    assert {task: member.pid for task, member in found.inits.items()} == {"orders-1": 20}
    assert {task: member.pid for task, member in found.envoys.items()} == {"orders-1": 21}
    assert {task: [member.pid for member in members] for task, members in found.apps.items()} == {"orders-1": [22, 23]}


@pytest.mark.parametrize(
    ("what", "pid"), [("serve", 11), ("node", 12), ("envoy:orders-1", 21), ("init:orders-1", 20), ("app:orders-1", 22)]
)
def test_one_is_named(what, pid):
    assert processes._classified(belonging(TABLE, HOME)).named(what).pid == pid


def test_the_agents_of_several_nodes_are_told_apart_and_so_are_their_tasks():
    node = ("python3", "-m", "tsunagu_node", "--home", "/no/such/home", "--name")
    folder = "/no/such/home/nodes/linux/tasks/orders-1"
    table = {
        one.pid: one
        for one in (
            process(12, 1, *node, "linux", "--among"),
            process(13, 1, *node, "docker", "--among"),
            process(20, 1, "python3", "-c", "...", folder, "/no/such/home", "orders-1", name="tsunagu-init"),
        )
    }
    found = processes._classified(belonging(table, HOME))
    assert (found.named("node-linux").pid, found.named("node-docker").pid) == (12, 13)
    assert found.named("init:orders-1").pid == 20
    with pytest.raises(LookupError, match="no process 'node-other' now"):
        found.named("node-other")


@pytest.mark.parametrize("what", ["serve", "envoy:orders-9", "everything", "nonsense"])
def test_what_is_not_there(what):
    with pytest.raises(LookupError):
        Processes().named(what)


@contextmanager
def child(*command):
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        running.stdout.readline()
        yield running
    finally:
        running.stdout.close()
        running.kill()
        running.wait()


def sleeper(home):
    return sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", str(home / "tasks" / "a-1")


def test_a_real_one_is_found_and_killed(tmp_path):
    with child(*sleeper(tmp_path)) as running:
        [found] = of_home(tmp_path).everything
        assert (found.pid, found.task, found.alive()) == (running.pid, "a-1", True)
        found.kill(signal.SIGTERM)
        assert running.wait(60) == -signal.SIGTERM
        assert not found.alive()
        found.kill()
    assert of_home(tmp_path).everything == ()


def test_it_is_gone_when_it_has_been_killed(tmp_path):
    with child(*sleeper(tmp_path)):
        [found] = of_home(tmp_path).everything
        found.kill()
        assert not found.alive()


def test_a_pid_that_is_used_again_is_another_process(tmp_path):
    with child(*sleeper(tmp_path)) as running:
        [found] = of_home(tmp_path).everything
        earlier = Process(found.pid, found.begun - 1, 1, "x", ())
        assert not earlier.alive()
        earlier.kill()
        assert running.poll() is None


def test_what_is_left_behind_is_told(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as bound, child(*sleeper(tmp_path)):
        bound.bind(str(tmp_path / "api.sock"))
        left = left_behind(tmp_path, set(), set(), ticks())
    assert [line.split()[0] for line in left] == ["process", "socket"]
    assert left[1] == f"socket {tmp_path}/api.sock"


def test_nothing_is_left_of_nothing(tmp_path):
    assert left_behind(tmp_path, set(), set(), ticks()) == []


def test_our_own_network_namespace_is_not_a_leak():
    assert network_namespaces({os.getpid()}) == set()


def test_who_was_in_a_namespace_before_the_end_is_a_leak_and_who_came_later_is_not(tmp_path):
    before, home = ticks(), tmp_path / "home"
    with child(*sleeper(tmp_path / "elsewhere")) as running:
        space = {namespace_of(running.pid)}
        line = f"network namespace of process {running.pid} "
        assert any(left.startswith(line) for left in left_behind(home, set(), space, ticks() + 10))
        assert not any(left.startswith(line) for left in left_behind(home, set(), space, before))
