"""The contract of runtimes: what every implementation of `tsunagu_node.runtime.contract` does. Run inside a sandbox by test_runtime."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tsunagu_node.runtime.contract import CannotStart, Process, ProcessExited, RuntimeFailed, TaskGone
from tsunagu_node.runtime.linux import init_client, network
from tsunagu_node.runtime.linux.host_helper import HostHelper, PortTaken, inherited
from tsunagu_node.runtime.linux.nft import Capture, Redirect
from tsunagu_node.runtime.linux.runtime import LinuxRuntime

SAY = "import socket; s = socket.create_server(('{host}', {port}), reuse_port=True)\nwhile 1:\n c, a = s.accept(); c.sendall(b'{text}'); c.close()"


@pytest.fixture(scope="session")
def helper():
    helper = HostHelper(inherited(int(os.environ["TSUNAGU_TEST_CHANNEL"])))
    yield helper
    helper.close()


@pytest.fixture
def home(tmp_path):
    (tmp_path / "tasks").mkdir()
    return tmp_path


@pytest.fixture
async def runtime(home, helper):
    runtime = LinuxRuntime(home, helper)
    assert await runtime.start() == []
    yield runtime
    for task in await LinuxRuntime(home, helper).start():
        await task.kill()
        await task.remove()
    await runtime.close()


def python(code: str, name: str = "app", **more) -> Process:
    return Process(name, [sys.executable, "-c", code], **{"env": {"PATH": os.environ["PATH"]}, **more})


async def until(condition, seconds: float = 10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def end_of(task, name: str) -> int:
    async with asyncio.timeout(10):
        async for event in task.events():
            if isinstance(event, ProcessExited) and event.name == name:
                return event.code
    raise AssertionError(f"{name} did not end")


def log(task, name: str = "app") -> list[str]:
    path = task.directory / "log" / f"{name}.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(" ", 2)[2] for line in lines]


async def output(task, code: str, **more) -> list[str]:
    """What a program prints that runs in the task."""
    name = f"p{time.monotonic_ns()}"
    await task.start(python(code, name, **more))
    assert await end_of(task, name) == 0, log(task, name)
    await until(partial(log, task, name))
    return log(task, name)


async def serve(task, port: int, text: str, host: str = "0.0.0.0") -> None:
    await task.start(python(SAY.format(host=host, port=port, text=text), f"server-{port}"))
    await until(lambda: port in task.listening())


def call(ip: str, port: int) -> str:
    return f"import socket; print(socket.create_connection(('{ip}', {port}), 5).recv(99).decode())"


async def test_each_task_has_an_address_of_its_own(runtime):
    one, other = await runtime.create("web-1"), await runtime.create("web-2")
    assert one.ip != other.ip
    assert {ip_address(task.ip) in ip_network(runtime.task_cidr) for task in (one, other)} == {True}
    assert (one.id, one.directory.name) == ("web-1", "web-1")
    assert one.listening() == frozenset()


async def test_a_process_is_what_was_asked_for(runtime, tmp_path):
    task = await runtime.create("web-1")
    code = "import os, socket, sys; print(os.getuid(), os.environ['A'], os.getcwd(), socket.gethostname(), flush=True); print('oops', file=sys.stderr); sys.exit(3)"
    pid = await task.start(python(code, env={"A": "1", "PATH": os.environ["PATH"]}, cwd="/usr"))
    assert pid > 1
    assert task.processes()["app"].code is None
    assert await end_of(task, "app") == 3
    assert task.processes()["app"].code == 3
    await until(lambda: len(log(task)) == 2)
    assert sorted(log(task)) == ["1000 1 /usr web-1", "oops"]


async def test_what_cannot_be_started_is_said(runtime):
    task = await runtime.create("web-1")
    with pytest.raises(CannotStart, match=r"No such file or directory.*nosuch"):
        await task.start(Process("app", ["nosuch"], {"PATH": "/usr/bin"}))
    with pytest.raises(CannotStart, match=r"No such file or directory.*/no/such/folder"):
        await task.start(python("0", cwd="/no/such/folder"))
    with pytest.raises(CannotStart, match="Permission denied"):
        await task.start(Process("app", ["/etc/passwd"]))
    await task.start(python("0"))
    assert await end_of(task, "app") == 0


async def test_a_signal_ends_a_process_and_what_it_started(runtime):
    task = await runtime.create("web-1")
    await task.start(python("import os, time; os.fork(); print(os.getpid(), flush=True); time.sleep(60)"))
    await until(lambda: len(log(task)) == 2)
    await task.signal("app", signal.SIGTERM)
    assert await end_of(task, "app") == 128 + signal.SIGTERM
    assert await output(
        task, "import os; print([p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())])"
    ) == ["[]"]
    await task.signal("app", signal.SIGKILL)  # has ended: nothing happens


async def test_a_process_that_ignores_sigterm_is_killed(runtime):
    task = await runtime.create("web-1")
    await task.start(
        python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)")
    )
    await until(lambda: log(task) == ["up"])
    await task.signal("app", signal.SIGTERM)
    await task.signal("app", signal.SIGKILL, group=True)
    assert await end_of(task, "app") == 128 + signal.SIGKILL


async def test_a_process_can_be_started_again_under_its_name(runtime):
    task = await runtime.create("web-1")
    for code in (1, 2):
        await task.start(python(f"raise SystemExit({code})"))
        assert await end_of(task, "app") == code
    await task.start(python("import time; time.sleep(60)"))
    with pytest.raises(CannotStart, match="app is running"):
        await task.start(python("0"))


async def test_streams_and_a_terminal(runtime):
    task = await runtime.create("web-1")
    (stdin, feed), (result, stdout) = os.pipe(), os.pipe()
    cat = Process("cat", ["cat"], {"PATH": os.environ["PATH"]}, log=False, keep=False)
    await task.start(cat, (stdin, stdout, stdout))
    os.close(stdin)
    os.close(stdout)
    os.write(feed, b"through")
    os.close(feed)
    assert await end_of(task, "cat") == 0
    assert os.read(result, 99) == b"through"
    os.close(result)
    assert "cat" not in task.processes()
    master, slave = os.openpty()
    tty = python(
        "import os; print(os.isatty(0), os.getpgrp() == os.tcgetpgrp(0))", "tty", log=False, keep=False, tty=True
    )
    await task.start(tty, (slave, slave, slave))
    assert await end_of(task, "tty") == 0
    assert os.read(master, 99).split() == [b"True", b"True"]
    os.close(master)
    os.close(slave)


async def test_ordinary_users_may_listen_at_port_80(runtime):
    task = await runtime.create("web-1")
    await serve(task, 80, "hello")
    assert task.listening() == {80}
    assert await output(task, call("127.0.0.1", 80)) == ["hello"]


async def test_calls_to_names_are_captured_and_calls_to_a_port_are_redirected(runtime):
    server, client = await runtime.create("server-1"), await runtime.create("client-1")
    await server.nat([Redirect(8080, 15100)])
    await client.nat([Capture("127.255.0.0", 16, 15001)])
    await serve(server, 8080, "the app", host="127.0.0.1")
    await serve(server, 15100, "the proxy")
    await serve(client, 15001, "captured", host="127.0.0.1")
    client.set_hosts({"mysql": "127.255.0.1"})
    assert await output(client, call("mysql", 3306)) == ["captured"]
    assert await output(client, call(server.ip, 8080)) == ["the proxy"]
    assert await output(server, call("127.0.0.1", 8080)) == ["the app"]
    await server.nat([])
    await serve(server, 8081, "direct")
    assert await output(client, call(server.ip, 8081)) == ["direct"]


async def test_names_come_and_go_while_a_process_runs(runtime):
    task = await runtime.create("web-1")
    ask = "import socket, sys\nfor line in sys.stdin:\n try: print(socket.gethostbyname('orders'), flush=True)\n except OSError: print('none', flush=True)"
    (stdin, feed), (result, stdout) = os.pipe(), os.pipe()
    await task.start(python(ask, "ask", log=False), (stdin, stdout, stdout))

    def answer() -> bytes:
        os.write(feed, b"\n")
        return os.read(result, 99)

    assert await asyncio.to_thread(answer) == b"none\n"
    task.set_hosts({"orders": "127.255.0.7"})
    assert await asyncio.to_thread(answer) == b"127.255.0.7\n"
    task.set_hosts({})
    assert await asyncio.to_thread(answer) == b"none\n"
    for fd in (stdin, feed, result, stdout):
        os.close(fd)


async def test_a_port_of_the_machine_is_listened_at_or_the_reason_is_said(runtime):
    with await runtime.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=f"cannot listen at 127.0.0.1:{port}: another process listens there"):
            await runtime.listen("127.0.0.1", port)
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 1):
            pass  # it is the machine's, not the sandbox's


async def test_pids_of_the_host(runtime):
    task = await runtime.create("web-1")
    pid = await task.start(python("import time; time.sleep(60)"))
    host = await task.host_pid(pid)
    assert host > pid
    assert await task.host_pid(9999) == 0


async def test_killed_a_task_answers_with_resets_until_it_is_removed(runtime):
    server, client = await runtime.create("server-1"), await runtime.create("client-1")
    await serve(server, 9000, "hello")
    assert await output(client, call(server.ip, 9000)) == ["hello"]
    await server.kill()
    refused = f"try:\n {call(server.ip, 9000)}\nexcept ConnectionRefusedError: print('refused')"
    assert await output(client, refused) == ["refused"]
    await server.remove()
    assert {path.name for path in server.directory.iterdir()} <= {"log", "state.json"}
    names = [name for _, name in socket.if_nameindex()]
    assert f"t{int(ip_address(server.ip)):08x}" not in names
    assert f"t{int(ip_address(client.ip)):08x}" in names
    assert (await runtime.create("server-2")).ip != server.ip


async def test_when_its_init_is_killed_all_of_a_task_is_gone(runtime, helper):
    task = await runtime.create("web-1")
    await task.start(python("import time; time.sleep(60)"))
    await task.start(Process("envoy", ["sleep", "60"], {"PATH": os.environ["PATH"]}, user="root"))
    init = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _is_init(path.name, task.directory)
    ]
    assert len(await helper.pids(init[0])) == 2
    os.kill(init[0], signal.SIGKILL)
    async with asyncio.timeout(5):
        assert [event async for event in task.events()] == [TaskGone()]
    await until(lambda: not Path(f"/proc/{init[0]}").exists())
    assert await helper.pids(init[0]) == {}
    await task.remove()


async def test_a_new_agent_adopts_what_runs_and_learns_what_ended(runtime, home, helper):
    task = await runtime.create("web-1")
    lost = await runtime.create("web-2")
    await task.start(python("import time; time.sleep(60)"))
    await task.start(python("raise SystemExit(4)", "once"))
    assert await end_of(task, "once") == 4
    await lost.start(python("raise SystemExit(5)"))
    assert await end_of(lost, "app") == 5
    await lost.kill()
    await runtime.close()
    again = LinuxRuntime(home, helper)
    (adopted,) = await again.start()
    assert (adopted.id, adopted.ip) == ("web-1", task.ip)
    assert {name: state.code for name, state in adopted.processes().items()} == {"app": None, "once": 4}
    assert again.remembered("web-2")["app"].code == 5
    await adopted.signal("app", signal.SIGTERM)
    assert await end_of(adopted, "app") == 143
    assert (await again.create("web-3")).ip not in {task.ip, lost.ip}
    await again.close()


async def test_its_state_is_written_down_as_it_changes(runtime):
    task = await runtime.create("web-1")
    await task.start(python("raise SystemExit(6)"))
    assert await end_of(task, "app") == 6
    state = json.loads((task.directory / "state.json").read_text())
    assert state["app"]["code"] == 6
    assert state["app"]["ended"] >= state["app"]["started"]


async def test_a_state_that_cannot_be_written_down_costs_no_process_and_no_event(runtime):
    """A folder in the file's place refuses each write, as a full disk does."""
    task = await runtime.create("web-1")
    (task.directory / "state.json.new").mkdir()
    pid = await task.start(python("raise SystemExit(6)"))
    assert pid > 1
    assert await end_of(task, "app") == 6
    await task.start(python("raise SystemExit(7)", "once", keep=False))
    assert await end_of(task, "once") == 7
    assert task.processes()["app"].code == 6
    said = (task.directory / "log" / "init.log").read_text()
    assert said.count("state.json is not kept") == 1


@pytest.mark.parametrize("step", ["connect", "attach"])
async def test_of_a_task_that_cannot_be_made_nothing_is_left(runtime, monkeypatch, step):
    await (await runtime.create("web-0")).kill()  # what is opened once is open by now
    before = set(Path("/proc/self/fd").iterdir())

    def fail(netns, init, ip, cidr):
        """As the kernel does, asked to link the namespace of a process that has just died."""
        os.kill(init, signal.SIGKILL)
        attach(netns, 999_999, ip, cidr)

    def broken(*_):
        raise OSError(24, "Too many open files")

    attach = network.attach
    if step == "attach":
        monkeypatch.setattr(network, "attach", fail)
    else:
        monkeypatch.setattr(init_client, "_connect", broken)
    with pytest.raises(RuntimeFailed, match=r"netlink|Too many open files"):
        await runtime.create("web-1")
    directory = runtime._tasks / "web-1"
    await until(lambda: not [path for path in Path("/proc").iterdir() if _is_init(path.name, directory)])
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert {path.name for path in directory.iterdir()} <= {"log", "state.json"}
    monkeypatch.undo()
    await output(await runtime.create("web-1"), "print('up')")


def _is_init(pid: str, directory: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(directory) in words
