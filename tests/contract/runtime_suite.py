"""The contract of runtimes: what every implementation of `tsunagu_node.runtime.contract` does.

The module of an implementation imports these tests, and gives them the fixture `opened`: each call of it opens a runtime
over the same machine, as each start of a node agent does.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tsunagu.testing.ports import free_port
from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import (
    RELAY,
    CannotStart,
    Exec,
    Image,
    Listening,
    Network,
    PortTaken,
    Process,
    ProcessExited,
    Program,
    PublishedPort,
    TaskGone,
)

SERVE = "import socket; s = socket.create_server(('{host}', {port}), reuse_port=True)\nwhile 1:\n c, a = s.accept(); c.sendall(b'{text}'); c.close()"
SLEEP = "import time; time.sleep(600)"
IMAGE = "tsunagu-test-apps:1"
#: With an init: else a program would be its container's first process, which the kernel spares signals that it does not handle.
WITH_INIT = ecs_pb2.ContainerDefinition(linux_parameters={"init_process_enabled": True})
SERVE_ONE = "import socket; s = socket.create_server(('127.0.0.1', {port})); s.accept()"
ENVIRONMENT = {"PATH": os.environ["PATH"]}
numbers = itertools.count(1)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "tasks").mkdir()
    return tmp_path


@pytest.fixture
async def runtime(opened):
    runtime = opened()
    assert await runtime.start() == []
    yield runtime
    for task in await opened().start():
        await task.kill()
        await task.remove()
    await runtime.close()


@pytest.fixture
async def task(runtime):
    return await runtime.create("web-1", Network())


def python(code: str, name: str = "app", **more) -> Process:
    """Return a container that runs `code`."""
    return Process(name, Image(IMAGE, (sys.executable,), ("-c", code), WITH_INIT), **{"env": ENVIRONMENT, **more})


def exec_of(container: str, *argv: str, **more) -> Process:
    return Process(f"{container}#{next(numbers)}", Exec(container, argv, **more), ENVIRONMENT)


async def until(condition, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def ports(task) -> set[int]:
    return {one.port for one in await task.listening()}


async def listens(task, port: int, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while port not in await ports(task):
        assert time.monotonic() < deadline, f"nothing listens at {port}"
        await asyncio.sleep(0.01)


async def silent(task, port: int, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while port in await ports(task):
        assert time.monotonic() < deadline, f"something still listens at {port}"
        await asyncio.sleep(0.01)


async def end_of(task, name: str) -> int:
    async with asyncio.timeout(60):
        async for event in task.events():
            if isinstance(event, ProcessExited) and event.name == name:
                return event.code
    raise AssertionError(f"{name} did not end")


def log(runtime, task, name: str = "app") -> list[str]:
    """Return the lines that a process wrote."""
    path = runtime.log_directory(task.id) / f"{name}.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(" ", 2)[2] for line in lines]


async def output(runtime, task, code: str, **more) -> list[str]:
    """Return what a program prints that runs in the task."""
    name = f"p{next(numbers)}"
    await task.start(python(code, name, **more))
    assert await end_of(task, name) == 0, log(runtime, task, name)
    await until(partial(log, runtime, task, name))
    return log(runtime, task, name)


async def serve(task, port: int, text: str, host: str = "0.0.0.0") -> None:
    await task.start(python(SERVE.format(host=host, port=port, text=text), f"server-{port}"))
    await listens(task, port)


def call(ip: str, port: int) -> str:
    """Return a program that prints what is answered at ip:port."""
    return f"import socket; print(socket.create_connection(('{ip}', {port}), 30).recv(99).decode())"


@contextmanager
def pipes():
    """Three descriptors for a command, and the other ends of its stdin and stdout; what is still open is closed."""
    (stdin, feed), (result, stdout) = os.pipe(), os.pipe()
    with os.fdopen(feed, "wb", 0) as to, os.fdopen(result, "rb", 0) as of, os.fdopen(stdin), os.fdopen(stdout, "wb"):
        yield (stdin, stdout, stdout), to, of


async def test_each_task_has_an_address_of_its_own(runtime):
    one, other = await runtime.create("web-1", Network()), await runtime.create("web-2", Network())
    assert one.ip != other.ip
    assert {ip_address(task.ip) in ip_network(runtime.task_cidr) for task in (one, other)} == {True}
    assert (one.id, other.id) == ("web-1", "web-2")
    assert await one.listening() == frozenset()


async def test_a_process_is_what_was_asked_for(runtime, task):
    code = (
        "import os, sys; print(os.environ['A'], os.getcwd(), flush=True); print('oops', file=sys.stderr); sys.exit(3)"
    )
    await task.start(python(code, env={"A": "1", **ENVIRONMENT}, cwd="/usr"))
    assert await end_of(task, "app") == 3
    assert task.processes()["app"].code == 3
    await until(lambda: len(log(runtime, task)) == 2)
    assert sorted(log(runtime, task)) == ["1 /usr", "oops"]


async def test_what_cannot_be_started_is_said(task):
    with pytest.raises(CannotStart, match=r"nosuch"):
        await task.start(Process("app", Image(IMAGE, (), ("nosuch",)), {"PATH": "/usr/bin"}))
    with pytest.raises(CannotStart, match=r"(?i)permission denied"):
        await task.start(Process("app", Image(IMAGE, (), ("/etc/passwd",))))
    await task.start(python("0"))
    assert await end_of(task, "app") == 0


async def test_a_signal_ends_a_process_and_what_it_started(task):
    port = free_port()
    await task.start(python(f"import os\nif os.fork() == 0:\n {SERVE_ONE.format(port=port)}\n{SLEEP}"))
    await listens(task, port)  # its child does
    await task.signal("app", signal.SIGTERM)
    assert await end_of(task, "app") == 128 + signal.SIGTERM
    await silent(task, port)
    await task.start(python(SLEEP))
    await task.signal("app", signal.SIGKILL)
    assert await end_of(task, "app") == 128 + signal.SIGKILL
    await task.signal("app", signal.SIGKILL)  # has ended: nothing happens


async def test_a_process_that_ignores_sigterm_is_killed(runtime, task):
    await task.start(python(f"import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n{SLEEP}"))
    await until(lambda: log(runtime, task) == ["up"])
    await task.signal("app", signal.SIGTERM)
    await task.signal("app", signal.SIGKILL, group=True)
    assert await end_of(task, "app") == 128 + signal.SIGKILL


async def test_a_process_can_be_started_again_under_its_name(task):
    for code in (1, 2):
        await task.start(python(f"raise SystemExit({code})"))
        assert await end_of(task, "app") == code
    await task.start(python(SLEEP))
    with pytest.raises(CannotStart, match="app is running"):
        await task.start(python("0"))


async def test_a_command_in_a_container_has_streams_and_is_not_remembered(runtime, task):
    await task.start(python(SLEEP))
    with pipes() as (streams, feed, result):
        command = exec_of("app", "cat", streams=streams)
        await task.start(command)
        feed.write(b"through")
        for fd in streams[:2]:
            os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), fd, inheritable=False)
        feed.close()
        assert await end_of(task, command.name) == 0
        assert result.read(99) == b"through"
    assert command.name not in task.processes()
    assert not list(runtime.log_directory("web-1").glob("app#*"))


async def test_a_command_in_a_container_may_have_a_terminal(task):
    await task.start(python(SLEEP))
    master, slave = os.openpty()
    code = "import os; print(os.isatty(0), os.getpgrp() == os.tcgetpgrp(0))"
    command = exec_of("app", sys.executable, "-c", code, streams=(slave, slave, slave), tty=True)
    await task.start(command)
    assert await end_of(task, command.name) == 0
    assert os.read(master, 99).split() == [b"True", b"True"]
    os.close(master)
    os.close(slave)


async def test_a_command_in_a_container_needs_no_streams(task):
    await task.start(python(SLEEP))
    command = exec_of("app", "sh", "-c", "cat; echo dropped; exit 5")
    await task.start(command)
    assert await end_of(task, command.name) == 5


async def test_a_command_that_cannot_be_started_is_said(task):
    await task.start(python(SLEEP))
    with pytest.raises(CannotStart, match="nosuch"):
        await task.start(exec_of("app", "nosuch"))
    command = exec_of("app", "sh", "-c", "exit 126")
    await task.start(command)
    assert await end_of(task, command.name) == 126


async def test_ports_that_are_listened_at_are_seen(runtime, task):
    port = free_port()
    await serve(task, port, "hello")
    assert await task.listening() == {Listening(port, "0.0.0.0")}
    assert await output(runtime, task, call("127.0.0.1", port)) == ["hello"]


async def test_a_configuration_file_is_the_task_s_alone(home, runtime, task):
    (home / "xds").mkdir(exist_ok=True)
    (home / "tasks").chmod(0o700)
    task.write_config("secret.json", "one and longer")
    task.write_config("secret.json", "two")
    path = Path(task.config_path("secret.json"))
    assert await output(runtime, task, f"print(open({str(path)!r}).read())") == ["two"]
    # Of the machine's other users none may read it, or come so far.
    assert any(not one.stat().st_mode & 0o007 for one in (path, *path.parents[:3]))


async def test_the_admin_endpoint_leads_from_the_node_agent_to_a_program_of_the_task(task):
    code = f"import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); s.accept()[0].sendall(b'admin')\n{SLEEP}"
    python = str(Path(sys.executable).with_name("python3"))  # as an image has it
    await task.start(Process("envoy", Program([python, "-c", code, task.admin_endpoint.bind]), ENVIRONMENT))
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(task.admin_endpoint.connect)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                break
        assert await reader.read() == b"admin"
    writer.close()


#: A relay that is asked to end before it has set up is ended by the signal; its ports are closed either way.
CLOSED = (0, 128 + signal.SIGTERM)


async def test_published_ports_are_open_until_their_relay_is_asked_to_end(runtime):
    published = [PublishedPort("127.0.0.1", free_port(), "web", 80)]
    task = await runtime.create("front-1", Network(published=published))
    relay = await task.start_relay()
    await relay.open()
    relay.close()
    assert task.processes()[RELAY].code is None
    with pytest.raises(CannotStart, match="relay is running"):
        await task.start_relay()
    await task.signal(RELAY, signal.SIGTERM)
    assert await end_of(task, RELAY) in CLOSED


async def test_of_a_published_port_that_is_taken_the_reason_is_said_and_it_may_be_opened_later(runtime):
    first, second = free_port(), free_port()
    published = [PublishedPort("127.0.0.1", first, "web", 80)]
    holder = await runtime.create("front-1", Network(published=published))
    opened = await holder.start_relay()
    await opened.open()
    ports = [PublishedPort("127.0.0.1", second, "api", 80), *published]
    task = await runtime.create("front-2", Network(published=ports))
    relay = await task.start_relay()
    with pytest.raises(PortTaken, match=f"cannot listen at 127.0.0.1:{first}: another process listens there"):
        await relay.open()
    await holder.signal(RELAY, signal.SIGTERM)
    assert await end_of(holder, RELAY) in CLOSED
    await relay.open()
    relay.close()
    opened.close()


async def test_a_relay_that_was_never_opened_ends_with_its_owner(runtime):
    published = [PublishedPort("127.0.0.1", free_port(), "web", 80)]
    task = await runtime.create("front-1", Network(published=published))
    (await task.start_relay()).close()
    assert await end_of(task, RELAY) == 0


async def test_pids_of_the_host(runtime, task):
    await task.start(python(SLEEP))
    assert task.processes()["app"].code is None
    assert await task.host_pid("app") > 1
    assert await task.host_pid("nosuch") == 0
    await task.signal("app", signal.SIGKILL)
    assert await end_of(task, "app") == 128 + signal.SIGKILL
    assert await task.host_pid("app") == 0
    assert await runtime.agent_pid() > 0


async def test_killed_a_task_is_gone_and_removed_it_leaves_its_logs(runtime, task):
    await task.start(python(f"print('up', flush=True)\n{SLEEP}"))
    task.write_config("secret.json", "{}")
    await until(lambda: log(runtime, task) == ["up"])
    await task.kill()
    async with asyncio.timeout(60):
        assert [event async for event in task.events()][-1] == TaskGone()
    await task.remove()
    assert log(runtime, task) == ["up"]
    assert not Path(task.config_path("secret.json")).exists()
    assert (await runtime.create("web-2", Network())).ip != task.ip


async def test_a_new_agent_adopts_what_runs_and_learns_what_ended(runtime, opened):
    task, lost = await runtime.create("web-1", Network()), await runtime.create("web-2", Network())
    await task.start(python(SLEEP))
    await task.start(python("raise SystemExit(4)", "once"))
    assert await end_of(task, "once") == 4
    await lost.start(python("raise SystemExit(5)"))
    assert await end_of(lost, "app") == 5
    await lost.kill()
    await runtime.close()
    again = opened()
    (adopted,) = await again.start()
    assert (adopted.id, adopted.ip) == ("web-1", task.ip)
    assert {name: state.code for name, state in adopted.processes().items()} == {"app": None, "once": 4}
    assert again.remembered("web-2")["app"].code == 5
    await adopted.signal("app", signal.SIGTERM)
    assert await end_of(adopted, "app") == 143
    assert (await again.create("web-3", Network())).ip not in {task.ip, lost.ip}
    await again.close()


async def test_published_ports_are_known_to_the_agent_that_adopts(runtime, opened):
    port = free_port()
    task = await runtime.create("front-1", Network(published=[PublishedPort("127.0.0.1", port, "web", 80)]))
    relay = await task.start_relay()
    await relay.open()
    relay.close()
    await runtime.close()
    again = opened()
    (adopted,) = await again.start()
    assert adopted.processes()[RELAY].code is None
    await adopted.signal(RELAY, signal.SIGTERM)
    assert await end_of(adopted, RELAY) in CLOSED
    second = await adopted.start_relay()
    await second.open()
    second.close()
    assert adopted.processes()[RELAY].code is None
    await again.close()


async def test_what_ended_tasks_leave_is_taken_away_but_for_those_that_are_kept(runtime):
    running = await runtime.create("web-1", Network())
    for name in ("web-2", "web-3"):
        ended = await runtime.create(name, Network())
        await ended.kill()
        await ended.remove()
    await runtime.forget({"web-2"})
    assert [runtime.log_directory(name).is_dir() for name in ("web-1", "web-2", "web-3")] == [True, True, False]
    assert await output(runtime, running, "print('still there')") == ["still there"]
