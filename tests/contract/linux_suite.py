"""What the linux runtime keeps beyond the contract of runtimes, with that contract's own tests. Run inside a sandbox by test_runtime."""

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.contract.runtime_insides import *  # noqa: F403 - the contract's tests
from tests.contract.runtime_insides import accept_one
from tests.contract.runtime_suite import *  # noqa: F403
from tests.contract.runtime_suite import (
    ENVIRONMENT,
    SLEEP,
    call,
    end_of,
    exec_of,
    free_port,
    log,
    output,
    pipes,
    python,
    serve,
    until,
)
from tsunagu_node.runtime.contract import (
    CannotStart,
    Capture,
    Image,
    Listening,
    Network,
    Process,
    Program,
    PublishedPort,
    Redirect,
    RuntimeFailed,
    TaskGone,
)
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.linux import init_client, network
from tsunagu_node.runtime.linux.host_client import HostClient, inherited
from tsunagu_node.runtime.linux.runtime import INIT_LOG, LinuxRuntime
from tsunagu_node.task.spec import DNS, DNS_PORT, METADATA


@pytest.fixture(scope="session")
def helper():
    helper = HostClient(inherited(int(os.environ["TSUNAGU_TEST_CHANNEL"])))
    yield helper
    helper.close()


@pytest.fixture
def opened(home, helper):
    """Opens a runtime over the tasks of `home`."""
    return lambda: LinuxRuntime(Folders.of(home), helper)


async def test_a_process_is_an_ordinary_user_in_its_task(runtime, task):
    code = "import os, socket; print(os.getuid(), os.getpid(), socket.gethostname())"
    ((uid, pid, host),) = [line.split() for line in await output(runtime, task, code)]
    assert (uid, host) == ("1000", "web-1")
    assert 1 < int(pid) < 100


async def test_a_folder_that_is_not_there_is_said(task):
    with pytest.raises(CannotStart, match=r"No such file or directory.*/no/such/folder"):
        await task.start(python("0", cwd="/no/such/folder"))
    with pytest.raises(CannotStart, match=r"No such file or directory.*nosuch"):
        await task.start(Process("app", Image("", (), ("nosuch",)), {"PATH": "/usr/bin"}))


async def test_a_configuration_file_is_its_owner_s_alone(task):
    task.write_config("secret.json", "two")
    assert stat.S_IMODE(Path(task.config_path("secret.json")).stat().st_mode) == 0o600


async def test_a_container_without_a_command_cannot_run_here(runtime):
    runtime.validate("app", Image("shop/app:1", (), ("serve",)))
    with pytest.raises(RuntimeFailed, match=r"container app has no command.*'shop/app:1'"):
        runtime.validate("app", Image("shop/app:1"))


async def test_ordinary_users_may_listen_at_port_80(runtime, task):
    await serve(task, 80, "hello")
    assert await task.listening() == {Listening(80, "0.0.0.0")}
    assert await output(runtime, task, call("127.0.0.1", 80)) == ["hello"]


async def test_calls_to_names_are_captured_and_calls_to_a_port_are_redirected(runtime):
    server = await runtime.create("server-1", Network([Redirect(8080, 15100)]))
    client = await runtime.create("client-1", Network([Capture("127.255.0.0", 16, 15001)]))
    await serve(server, 8080, "the app", host="127.0.0.1")
    await serve(server, 15100, "the proxy")
    await serve(server, 8081, "direct")
    await serve(client, 15001, "captured", host="127.0.0.1")
    await client.set_hosts({"mysql": "127.255.0.1"})
    assert client.hosts()["mysql"] == "127.255.0.1"
    assert await output(runtime, client, call("mysql", 3306)) == ["captured"]
    assert await output(runtime, client, call(server.ip, 8080)) == ["the proxy"]
    assert await output(runtime, server, call("127.0.0.1", 8080)) == ["the app"]
    assert await output(runtime, client, call(server.ip, 8081)) == ["direct"]


async def test_the_metadata_address_leads_to_the_task_s_own_loopback(runtime):
    one, other = [await runtime.create(name, Network([METADATA])) for name in ("one-1", "other-1")]
    await serve(one, METADATA.to, "of one", host="127.0.0.1")
    await serve(one, 80, "the app")  # which listens at the very port
    with await other.listen(METADATA.to) as listener:
        assert listener.getsockname() == ("127.0.0.1", METADATA.to)
        assert await output(runtime, one, call("169.254.170.2", 80)) == ["of one"]
        answering = asyncio.create_task(asyncio.to_thread(accept_one, listener, b"of other"))
        assert await output(runtime, other, call("169.254.170.2", 80)) == ["of other"]
        await answering
        reach = f"import socket; print(socket.socket().connect_ex(('{other.ip}', {METADATA.to})))"
        assert await output(runtime, one, reach) == [str(errno.ECONNREFUSED)]


async def test_names_come_and_go_while_a_process_runs(task):
    await task.start(python(SLEEP))
    ask = "import socket, sys\nfor line in sys.stdin:\n try: print(socket.gethostbyname('orders'), flush=True)\n except OSError: print('none', flush=True)"
    with pipes() as (streams, feed, result):
        await task.start(exec_of("app", sys.executable, "-c", ask, streams=streams))

        async def answer() -> bytes:
            feed.write(b"\n")
            return await asyncio.to_thread(result.read, 99)

        assert await answer() == b"none\n"
        await task.set_hosts({"orders": "127.255.0.7"})
        assert await answer() == b"127.255.0.7\n"
        await task.set_hosts({})
        assert await answer() == b"none\n"


async def test_a_published_port_is_the_machine_s_and_not_the_sandbox_s(runtime):
    port = free_port()
    task = await runtime.create("front-1", Network(published=[PublishedPort("127.0.0.1", port, "web", 80)]))
    relay = await task.start_relay()
    await relay.open()
    relay.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass


async def test_killed_a_task_answers_with_resets_until_it_is_removed(runtime):
    server, client = await runtime.create("server-1", Network()), await runtime.create("client-1", Network())
    await serve(server, 9000, "hello")
    assert await output(runtime, client, call(server.ip, 9000)) == ["hello"]
    await server.kill()
    refused = f"try:\n {call(server.ip, 9000)}\nexcept ConnectionRefusedError: print('refused')"
    assert await output(runtime, client, refused) == ["refused"]
    await server.remove()
    assert {path.name for path in server.directory.iterdir()} <= {"log", "state.json"}
    names = [name for _, name in socket.if_nameindex()]
    assert f"t{int(ip_address(server.ip)):08x}" not in names
    assert f"t{int(ip_address(client.ip)):08x}" in names


async def test_when_its_init_is_killed_all_of_a_task_is_gone(task, helper):
    await task.start(python(SLEEP))
    await task.start(Process("envoy", Program(["sleep", "60"]), ENVIRONMENT))
    (init,) = [int(path.name) for path in Path("/proc").iterdir() if _is_init(path.name, task.directory)]
    assert len(await helper.pids(init)) == 2
    os.kill(init, signal.SIGKILL)
    async with asyncio.timeout(60):
        assert [event async for event in task.events()] == [TaskGone()]
    await until(lambda: not Path(f"/proc/{init}").exists())
    assert await helper.pids(init) == {}
    await task.remove()


async def test_its_state_is_written_down_as_it_changes(task):
    await task.start(python("raise SystemExit(6)"))
    assert await end_of(task, "app") == 6
    state = json.loads((task.directory / "state.json").read_text())
    assert state["app"]["code"] == 6
    assert state["app"]["ended"] >= state["app"]["started"]


async def test_a_state_that_cannot_be_written_down_costs_no_process_and_no_event(runtime, task):
    """A folder in the file's place refuses each write, as a full disk does."""
    (task.directory / "state.json.new").mkdir()
    await task.start(python("raise SystemExit(6)"))
    assert await end_of(task, "app") == 6
    once = exec_of("app", "sh", "-c", "exit 7")
    await task.start(once)
    assert await end_of(task, once.name) == 7
    assert task.processes()["app"].code == 6
    lines = (runtime.log_directory(task.id) / INIT_LOG).read_text()
    assert lines.count("state.json is not kept") == 1


async def test_the_record_of_an_older_agent_is_adopted(runtime, task, opened):
    await runtime.close()
    (task.directory / "task.json").write_text(json.dumps({"ip": task.ip}))
    (adopted,) = await opened().start()
    assert (adopted.id, adopted.ip) == ("web-1", task.ip)


async def test_the_address_of_the_bridge_does_not_change_with_the_tasks(runtime):
    """Tasks remember it; were it that of one of their links, they would send to nobody for seconds when that one goes."""
    seen = {await asyncio.to_thread(_bridge_address)}
    for _ in range(4):
        task = await runtime.create("web-1", Network())
        seen.add(await asyncio.to_thread(_bridge_address))
        await task.kill()
        await task.remove()
        seen.add(await asyncio.to_thread(_bridge_address))
    assert len(seen) == 1


def _bridge_address() -> str:
    with network.netlink() as links:
        return links.link("get", ifname=network.BRIDGE)[0].get_attr("IFLA_ADDRESS")


@pytest.mark.parametrize("step", ["connect", "attach"])
async def test_of_a_task_that_cannot_be_made_nothing_is_left(runtime, monkeypatch, step):
    await (await runtime.create("web-0", Network())).kill()  # what is opened once is open by now
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
        await runtime.create("web-1", Network())
    directory = runtime.log_directory("web-1").parent
    await until(lambda: not [path for path in Path("/proc").iterdir() if _is_init(path.name, directory)])
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert {path.name for path in directory.iterdir()} <= {"log", "state.json"}
    monkeypatch.undo()
    await output(runtime, await runtime.create("web-1", Network()), "print('up')")


def _is_init(pid: str, directory: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(directory) in words


SEES = """
import os
for folder, folders, files in os.walk({home!r}):
    for name in folders + files:
        print(os.path.relpath(os.path.join(folder, name), {home!r}))
"""


async def test_an_app_sees_of_the_mesh_s_directory_only_what_is_for_it(runtime, home, task):
    for name in ("api.sock", "key", "registry.db"):
        (home / name).write_text("secret")
    (home / "xds").mkdir(exist_ok=True)
    other = await runtime.create("web-2", Network())
    for name in ("envoy.json", "grpc-bootstrap.json"):
        task.write_config(name, "{}")
        other.write_config(name, "{}")
    fresh = await runtime.create("web-3", Network())
    fresh.write_config("envoy.json", "{}")
    fresh.write_config("grpc-bootstrap.json", "{}")
    seen = set(await output(runtime, fresh, SEES.format(home=str(home))))
    assert seen == {"xds", "xds.sock", "tasks", "tasks/web-3", "tasks/web-3/grpc-bootstrap.json"}


async def test_an_app_whose_folder_is_not_shown_is_told_so(home, task):
    with pytest.raises(CannotStart, match=r"lies in the mesh's own directory .* choose another --home"):
        await task.start(Process("app", Image("app", (), ("/bin/true",)), cwd=str(home / "apps")))


async def test_an_app_cannot_write_into_what_it_sees_nor_take_the_cover_away(runtime, home, task):
    (home / "key").write_text("secret")
    tries = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, call):
    try:
        print(what, "failed" if call() == -1 else "DONE")
    except OSError:
        print(what, "failed")
home = {str(home)!r}.encode()
attempt("write", lambda: os.mkdir({str(home)!r} + "/new"))
attempt("umount", lambda: libc.umount2(home, 2))
libc.unshare(0x10000000 | 0x20000)
attempt("umount in namespaces of its own", lambda: libc.umount2(home, 2))
attempt("key", lambda: os.open({str(home)!r} + "/key", os.O_RDONLY))
for pid in filter(str.isdecimal, os.listdir("/proc")):
    if pid != str(os.getpid()):
        attempt("root of another process", lambda: os.stat(f"/proc/{{pid}}/root{{home.decode()}}/key") and 0)
"""
    await task.start(Process("envoy", Program(["/bin/sleep", "60"])))
    lines = await output(runtime, task, tries)
    assert len(lines) >= 6
    assert {line for line in lines if not line.endswith("failed")} == set()


async def test_the_socket_for_proxies_is_reached_though_it_is_made_anew(runtime, home):
    (home / "xds").mkdir(exist_ok=True)
    task = await runtime.create("web-9", Network())
    ask = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(home / 'xds.sock')!r}); print(s.recv(9).decode())"
    for word in ("one", "two"):
        (home / "xds" / "sock").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(home / "xds" / "sock"))
            server.listen()
            asked = asyncio.create_task(output(runtime, task, ask))
            client, _ = await asyncio.to_thread(server.accept)
            client.sendall(word.encode())
            client.close()
            assert await asked == [word]


async def test_a_process_of_the_task_is_not_heard_by_its_init(runtime, task):
    """Whoever is could start processes as root of the sandbox. Envoy sees the socket, so it stands for them here."""
    ask = "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect('init.sock')\ntry:\n s.send(b'{\"id\": 1, \"op\": \"state\"}'); print(s.recv(9))\nexcept OSError: print('reset')"
    await task.start(Process("asker", Program([sys.executable, "-c", ask])))
    assert await end_of(task, "asker") == 0
    assert log(runtime, task, "asker") in (["b''"], ["reset"])
    assert await output(runtime, task, "print('still there')") == ["still there"]


RESOLVE = """
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(60)
asking.sendto(b"a question", ("169.254.169.253", 53))
answer, server = asking.recvfrom(99)
print(answer.decode(), *server, flush=True)
print(open("/etc/resolv.conf").read().split()[:2], [x for x in open("/etc/nsswitch.conf") if x.startswith("hosts")])
"""


async def test_what_a_task_asks_while_there_is_no_node_agent_waits_for_the_next_one(opened, runtime):
    network = Network(DNS, resolver="169.254.169.253")
    task = await runtime.create("web-1", network)
    (await task.datagrams(DNS_PORT)).close()  # the agent that made it is gone; its init keeps it
    await task.start(python(RESOLVE))
    again = opened()
    (adopted,) = await again.start()
    with await adopted.datagrams(DNS_PORT) as udp:
        udp.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            question, asker = await loop.sock_recvfrom(udp, 99)
        assert question == b"a question"
        udp.sendto(b"an answer", asker)
        await until(lambda: len(log(again, adopted)) == 2)
    assert log(again, adopted) == [
        "an answer 169.254.169.253 53",
        "['nameserver', '169.254.169.253'] ['hosts: files dns\\n']",
    ]
    await again.close()
