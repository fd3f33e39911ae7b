"""The command line as its users have it: real processes, real Envoys."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

MANIFEST = """
kind: TaskDefinition
family: web
networkMode: awsvpc
memory: "256"
containerDefinitions:
- name: app
  image: web:1
  command: [{python}, -u, -c, {app}]
  environment: [{{name: WORD, value: first}}]
  portMappings: [{{name: http, containerPort: 80, appProtocol: http}}]
---
kind: Service
serviceName: web
taskDefinition: web
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: web}}]}}]
"""

APP = """
import http.server, os
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["WORD"].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", 80), App).serve_forever()
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("manifests") / "web.yaml"
    path.write_text(MANIFEST.format(python=json.dumps(sys.executable), app=json.dumps(APP)))
    return path


@pytest.fixture(scope="module")
def port() -> int:
    """A port that nobody has just now."""
    return free_port()


def command(home: Path, *arguments: object) -> list[str]:
    """A command line; `up` names its home in it, so that `left` finds it."""
    words = [str(argument) for argument in arguments]
    where = ["--home", str(home)] if words[0] == "up" else []
    return [sys.executable, "-m", "tsunagu.cli", *words, *where]


def tsunagu(home: Path, *arguments: object, code: int = 0) -> str:
    result = subprocess.run(
        command(home, *arguments),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TSUNAGU_HOME": str(home)},
    )
    assert result.returncode == code, (arguments, result.returncode, result.stdout, result.stderr)
    return result.stdout + result.stderr


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left(home: Path) -> list[object]:
    """What a mesh has left: processes that name its home, and sockets."""
    processes = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(home) in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid()
    ]
    return [*processes, *(path for path in home.rglob("*") if path.is_socket())]


@pytest.fixture(scope="module")
def home(tmp_path_factory, manifest, port) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("m")
    output = tsunagu(path, "up", manifest, "--detach", "--publish", f"{port}=web:80")
    assert re.search(r"steady after .* s: 1 service, 2 tasks", output)
    yield path
    tsunagu(path, "down")
    assert left(path) == []
    assert not (path / "registry.db").exists()


def task(home: Path) -> str:
    shown = json.loads(tsunagu(home, "ps", "web", "-o", "json"))
    return next(one["name"].rpartition("/")[2] for one in shown if one["status"]["lastStatus"] == "RUNNING")


def test_a_published_port_leads_into_the_mesh(home, port):
    with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.read() == b"first"


def test_ps_and_get_show_what_runs(home):
    assert "RUNNING" in tsunagu(home, "ps", "web")
    assert re.search(r"default/web +1/1 +COMPLETED", tsunagu(home, "get", "service"))
    assert "linux" in tsunagu(home, "get", "node")


def test_proxies_are_synced_and_the_log_says_how(home):
    tsunagu(home, "wait", "--steady")

    def states() -> set[str]:
        shown = json.loads(tsunagu(home, "proxies", "-o", "json"))
        return {kind["state"] for proxy in shown for kind in proxy["types"]}

    until(lambda: states() == {"SYNCED"})
    log = tsunagu(home, "xds", "log", "--type", "LDS")
    assert "is sent" in log
    assert "ACK" in log


def test_logs_show_what_the_app_wrote(home, port):
    with urlopen(f"http://127.0.0.1:{port}/logged", timeout=10):
        until(lambda: "GET /logged" in tsunagu(home, "logs", "web", "--tail", "20"))


def test_exec_runs_inside_and_ends_with_the_commands_code(home):
    assert "web" in tsunagu(home, "exec", task(home), "--", "cat", "/etc/hosts")
    tsunagu(home, "exec", task(home), "--", "sh", "-c", "exit 7", code=7)


def test_exec_on_a_terminal_passes_on_every_key(home):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 99))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        command(home, "exec", task(home), "--", "sh"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TSUNAGU_HOME": str(home), "TERM": "vt100"},
        start_new_session=True,
    )
    screen = bytearray()

    def shows(text: bytes) -> bool:
        if select.select([ours], [], [], 0.1)[0]:
            screen.extend(os.read(ours, 65536))
        return text in screen

    try:
        until(lambda: shows(b"$ "))
        os.write(
            ours, b"stty size; sh -c 'echo $TERM-$((6*7)); exec sleep 1000'\n"
        )  # what it says, it says when ^C ends it
        until(lambda: shows(b"33 99\r\nvt100-42\r\n"))
        os.write(ours, b"\x03")
        os.write(ours, b"echo still-$((6*8)); exit 9\n")
        until(lambda: shows(b"still-48"))
        assert process.wait(60) == 9
        assert screen.count(b"stty size") == 1, screen  # echoed once, by the command's terminal
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_what_is_not_there_is_told_with_what_is(home):
    assert "it has app, envoy" in tsunagu(home, "logs", task(home), "-c", "ap", code=4)
    assert "it has app" in tsunagu(home, "exec", "-c", "nope", "web", "--", "true", code=4)
    assert "No such file or directory: nosuch" in tsunagu(home, "exec", task(home), "--", "nosuch", code=127)
    assert "is a gateway's task, which has no container" in tsunagu(home, "exec", "publish", "--", "true", code=127)
    assert "it is a container of web: write SERVICE -c app" in tsunagu(home, "logs", "app", code=4)


def test_envoy_can_be_looked_into(home):
    assert "ingress" in tsunagu(home, "envoy", task(home), "listeners") or "in/" in tsunagu(
        home, "envoy", task(home), "listeners"
    )
    assert json.loads(tsunagu(home, "envoy", task(home), "config_dump"))["configs"]
    assert "404" in tsunagu(home, "envoy", task(home), "/nothing", code=1)


def test_scale_up_and_down(home):
    tsunagu(home, "scale", "web=2")
    tsunagu(home, "wait", "--steady")
    assert re.search(r"default/web +2/2", tsunagu(home, "get", "service"))
    tsunagu(home, "scale", "web=1")
    tsunagu(home, "wait", "--steady")


def test_an_applied_change_replaces_the_tasks(home, manifest, port, tmp_path):
    changed = tmp_path / "web.yaml"
    changed.write_text(manifest.read_text().replace("value: first", "value: second"))
    assert "task definition web:2 created" in tsunagu(home, "apply", changed)
    tsunagu(home, "wait", "--steady")
    with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.read() == b"second"


def test_a_stopped_task_is_replaced(home):
    first = task(home)
    tsunagu(home, "stop", first)
    until(lambda: first not in tsunagu(home, "ps", "web"))
    tsunagu(home, "wait", "--steady")
    assert task(home) != first


def test_a_command_waits_for_a_control_plane_that_is_started_again(home):
    serve = next(
        one
        for one in psutil.process_iter(["cmdline"])
        if (one.info["cmdline"] or [])[-2:] == ["tsunagu.cli.local.control_plane", str(home)]
    )
    serve.kill()
    serve.wait(60)
    assert "RUNNING" in tsunagu(home, "ps", "web")
    tsunagu(home, "wait", "--steady")


def test_a_second_mesh_in_the_same_home_is_refused(home, manifest):
    assert "already running" in tsunagu(home, "up", manifest, code=5)
    assert "already running" in tsunagu(home, "up", manifest, "--detach", code=5)


@pytest.fixture
def foreground(tmp_path_factory, manifest) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """An `up` that has become steady."""
    path = tmp_path_factory.mktemp("f")
    unhurried = ("--stop-within", 60)  # a busy machine drains later
    with subprocess.Popen(command(path, "up", manifest, *unhurried), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("steady after" in line for line in process.stdout)
        yield path, process
        process.kill()
    until(lambda: left(path) == [])


def test_ctrl_c_drains_and_leaves_nothing(foreground):
    home, process = foreground
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "every task has stopped" in told
    assert left(home) == []


def test_when_up_is_killed_everything_ends(foreground):
    home, process = foreground
    process.kill()
    until(lambda: left(home) == [])
    assert "no mesh is running" in tsunagu(home, "ps", code=6)


def test_after_a_kill_the_next_up_needs_no_patience(foreground, manifest):
    home, process = foreground
    process.kill()
    process.wait(60)
    assert "steady after" in tsunagu(home, "up", manifest, "--detach")
    tsunagu(home, "down")
    assert left(home) == []


def test_a_reader_who_has_seen_enough_ends_no_mesh(tmp_path, manifest):
    line = shlex.join(command(tmp_path, "up", manifest, "--detach"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} | head -n 1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "created" in done.stdout
    assert "RUNNING" in tsunagu(tmp_path, "ps")
    tsunagu(tmp_path, "down")


def test_what_cannot_run_says_why(tmp_path, manifest):
    (tmp_path / "node.sock").mkdir()  # nobody can listen there
    assert "error: " in tsunagu(tmp_path, "up", manifest, "--detach", code=1)
    assert left(tmp_path) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_error(home, closed):
    line = shlex.join(command(home, "exec", task(home), "--", "sh", "-c", "cat; echo out; echo err >&2; exit 3"))
    done = subprocess.run(
        ["bash", "-c", f"{line} {closed}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "TSUNAGU_HOME": str(home)},
    )  # fmt: skip
    output, errors = {"<&-": ("out\n", "err\n"), ">&-": ("", "err\n"), "2>&-": ("out\n", "")}[closed]
    assert done.returncode == 3
    assert done.stdout == output
    assert done.stderr == errors


def test_a_node_whose_agent_answers_is_not_deleted(home):
    before = task(home)
    assert "node laptop is READY" in tsunagu(home, "delete", "node", "laptop", code=2)
    assert task(home) == before
