"""Ports of a mesh's own processes are found by who listens."""

import socket
import subprocess
import sys

import pytest

from tsunagu_node.outside.relay.own_ports import OwnPorts, find, is_ours


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        (b"/usr/bin/python3\0-P\0-m\0tsunagu.metrics.process\0--home\0/x", True),
        (b"/usr/bin/python3\0-m\0tsunagu_node\0--home\0/x", True),
        (b"/venv/bin/python\0/venv/bin/tsunagu\0up", True),
        (b"/usr/bin/python3\0-I\0-S\0-c\0import sys; from tsunagu_node.outside.relay.process import main", True),
        (b"/usr/bin/python3\0-I\0-S\0-c\0from tsunagu_node.runtime.linux.init.relay import main", False),
        (b"/usr/bin/python3\0-m\0pytest\0tests/tsunagu_node", False),
        (b"postgres\0-D\0/var/lib/tsunagu", False),
        (b"", False),
    ],
)
def test_a_process_is_known_by_its_command(command, ours):
    assert is_ours(command) is ours


def test_where_a_process_of_a_mesh_listens_is_found_by_address_and_port():
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    disguise = "# from tsunagu_node.main import main"
    command = [sys.executable, "-c", f"{disguise}\n{code}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        port = int(process.stdout.readline())
        assert ("127.0.0.1", port) in find()
        assert OwnPorts().has("127.0.0.1", port)
        assert not OwnPorts().has("127.0.0.2", port)
        process.stdin.close()


def test_ports_of_other_processes_are_not_ours():
    with socket.create_server(("0.0.0.0", 0)) as other:
        assert not OwnPorts().has("127.0.0.1", other.getsockname()[1])


def test_what_was_found_is_kept_for_a_second():
    now = [0.0]
    ports = OwnPorts(lambda: now[0])
    assert not ports.has("127.0.0.1", 1)
    ports._places = frozenset({("127.0.0.1", 1)})
    now[0] = 0.9
    assert ports.has("127.0.0.1", 1)
    now[0] = 2.0
    assert not ports.has("127.0.0.1", 1)
