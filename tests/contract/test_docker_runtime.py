"""The contract of runtimes, held by the docker runtime over a real engine, and what it keeps beyond it."""

import asyncio
import signal
import sys
from contextlib import suppress

import pytest

from tests.contract.docker_fixtures import logged, opened, settings, socket_of_engine  # noqa: F401
from tests.contract.runtime_insides import *  # noqa: F403 - the contract's tests
from tests.contract.runtime_suite import *  # noqa: F403
from tests.contract.runtime_suite import (
    ENVIRONMENT,
    SLEEP,
    call,
    end_of,
    exec_of,
    log,
    output,
    pipes,
    python,
    serve,
    until,
)
from tsunagu_node.runtime.contract import Capture, Network, Process, Program, Redirect, TaskGone
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.definition.site import PAUSE, mesh_name
from tsunagu_node.runtime.docker.engine import engine_api

pytestmark = pytest.mark.e2e


@pytest.fixture
def api(settings):  # noqa: F811
    """Asks the engine: api("GET", path)."""
    return lambda method, path: engine_api.call(settings.socket, method, path)


def containers(api, home) -> dict[str, dict]:
    """Process -> container, of the one task."""
    found = api("GET", engine_api.filtered("/containers/json", f"tsunagu.mesh={mesh_name(home)}", "all=1&"))
    return {one["Labels"]["tsunagu.process"]: one for one in found}


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


async def test_names_come_and_go_while_a_process_runs(task):
    await task.start(python(SLEEP))
    # By the file alone: for a name that is not there a resolver asks the machine's own, which may have none to ask.
    ask = "import sys\nfor line in sys.stdin:\n print(*[one.split()[0] for one in open('/etc/hosts') if 'orders' in one.split()] or ['none'], flush=True)"
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


async def test_killed_a_task_answers_with_resets_until_it_is_removed(runtime, api, home):
    server, client = await runtime.create("server-1", Network()), await runtime.create("client-1", Network())
    await serve(server, 9000, "hello")
    assert await output(runtime, client, call(server.ip, 9000)) == ["hello"]
    await server.kill()
    refused = f"try:\n {call(server.ip, 9000)}\nexcept ConnectionRefusedError: print('refused')"
    assert await output(runtime, client, refused) == ["refused"]
    await server.remove()
    assert {path.name for path in server.directory.iterdir()} <= {"log", "state.json"}
    left = api("GET", engine_api.filtered("/containers/json", f"tsunagu.mesh={mesh_name(home)}", "all=1&"))
    assert {one["Labels"]["tsunagu.task"] for one in left} == {"client-1"}


async def test_when_the_container_that_holds_the_network_dies_all_of_a_task_is_gone(runtime, api, home, task):
    await task.start(python(SLEEP))
    await task.start(Process("envoy", Program(["sleep", "60"]), ENVIRONMENT))
    api("POST", f"/containers/{containers(api, home)[PAUSE]['Id']}/kill?signal=KILL")
    async with asyncio.timeout(60):
        events = [event async for event in task.events()]
    assert events[-1] == TaskGone()
    assert {state.code for state in task.processes().values()} == {137}
    assert {one["State"] for one in containers(api, home).values()} == {"exited"}
    await task.remove()
    assert containers(api, home) == {}


async def test_its_own_containers_may_do_as_little_as_they_need(api, home, task):
    await task.start(Process("envoy", Program(["sleep", "60"]), ENVIRONMENT))
    found = containers(api, home)
    for name, more in ((PAUSE, ["CAP_NET_ADMIN"]), ("envoy", [])):
        host = api("GET", f"/containers/{found[name]['Id']}/json")["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert [f"CAP_{one.removeprefix('CAP_')}" for one in host["CapAdd"] or []] == more
        assert host["ReadonlyRootfs"]
        assert not host["Privileged"]
    running = api("GET", f"/containers/{found[PAUSE]['Id']}/json")
    assert running["Config"]["User"] == "65534:65534"


async def test_a_command_that_is_given_up_is_killed_with_what_it_started(runtime, task):
    """Docker itself lets it run on. The image has no program that could kill it."""
    await task.start(python(SLEEP))
    command = exec_of("app", "sh", "-c", "sleep 61 & echo $$; exec sleep 62")
    await task.start(command)
    await task.signal(command.name, signal.SIGKILL, group=True)
    assert await end_of(task, command.name) == 137
    left = (
        "import os\nfor pid in filter(str.isdecimal, os.listdir('/proc')):\n print(open(f'/proc/{pid}/cmdline').read())"
    )
    with pipes() as (streams, _, result):
        await task.start(listing := exec_of("app", sys.executable, "-c", left, streams=streams))
        assert await end_of(task, listing.name) == 0
        assert b"sleep\x006" not in result.read(9999)


async def test_the_end_of_a_container_ends_the_commands_in_it(task):
    await task.start(python(SLEEP))
    command = exec_of("app", "sleep", "60")
    await task.start(command)
    await task.signal("app", signal.SIGKILL)
    ended = {}
    async with asyncio.timeout(60):
        async for event in task.events():
            ended[event.name] = event.code
            if len(ended) == 2:
                break
    assert ended == {"app": 137, command.name: 137}


async def test_every_line_is_in_the_log_once_and_in_its_stream(runtime, task):
    long = "x" * 40_000  # an engine cuts it into pieces of 16 KiB
    code = f"import sys\nfor n in range(300): print(n, file=sys.stderr if n % 3 else sys.stdout, flush=True)\nprint('{long}'); print('no newline', end='')"
    await task.start(python(code))
    assert await end_of(task, "app") == 0
    await until(lambda: ("stdout", "no newline") in logged(runtime, task))
    found = logged(runtime, task)
    numbers = [(stream, int(text)) for stream, text in found if text.isdecimal()]
    assert sorted(numbers, key=lambda one: one[1]) == [("stderr" if n % 3 else "stdout", n) for n in range(300)]
    assert ("stdout", long) in found
    assert len(found) == 302


async def test_when_the_end_of_a_container_is_told_its_last_line_is_there(runtime, task):
    for number in range(5):
        await task.start(python(f"print('bye', {number}); raise SystemExit(3)"))
        assert await end_of(task, "app") == 3
        assert log(runtime, task)[-1:] == [f"bye {number}"]


async def test_a_log_goes_on_where_the_former_agent_stopped(runtime, opened, task, engine, api, home):  # noqa: F811
    count = "import sys\nfor n in range(10**6):\n print(n, flush=True)\n if sys.stdin.readline() == '': import time; time.sleep(0.02)"
    await task.start(python(count))
    await until(lambda: len(log(runtime, task)) > 5)
    await runtime.close()
    written = len(log(runtime, task))
    container = containers(api, home)["app"]["Id"]
    await until(
        lambda: len(engine.docker("logs", container).split()) > written + 5
    )  # it goes on, and nobody writes its log
    again = opened()
    (adopted,) = await again.start()
    seen = len(log(again, adopted))
    await until(lambda: len(log(again, adopted)) > seen + 20)
    numbers = [int(line) for line in log(again, adopted)]
    assert numbers == list(range(len(numbers)))
    await again.close()


async def test_a_task_that_died_while_no_agent_was_there_is_swept_and_remembered(runtime, opened, api, home):  # noqa: F811
    task = await runtime.create("web-1", Network())
    await task.start(python("raise SystemExit(6)", "once"))
    assert await end_of(task, "once") == 6
    await task.start(python(SLEEP))
    await runtime.close()
    api("POST", f"/containers/{containers(api, home)[PAUSE]['Id']}/kill?signal=KILL")
    again = opened()
    assert await again.start() == []
    assert containers(api, home) == {}
    remembered = again.remembered("web-1")
    assert {name: state.code for name, state in remembered.items()} == {"once": 6, "app": 137}
    assert log(again, task, "once") == []
    await again.close()


async def test_an_engine_that_closes_the_stream_of_events_is_heard_again(runtime, task):
    """What ended meanwhile is caught up with."""
    await task.start(python(SLEEP))
    stream = next(job for job in asyncio.all_tasks() if job.get_name() == "events of the engine")
    stream.cancel()
    with suppress(asyncio.CancelledError):
        await stream
    await runtime._machine.engine.call("POST", f"/containers/{task.table.get('app').container}/kill")
    await runtime._listen()
    assert await end_of(task, "app") == 137


async def test_nothing_is_left_of_a_mesh_that_is_cleared(runtime, api, home, settings):  # noqa: F811
    for number in range(3):
        task = await runtime.create(f"web-{number}", Network())
        await task.start(python(SLEEP))
    await runtime.close()
    assert await asyncio.to_thread(docker_janitor.clear, settings.socket, mesh_name(home)) == ""
    assert containers(api, home) == {}
    names = [one["Name"] for one in api("GET", "/networks")]
    assert f"tsunagu-{mesh_name(home)}" not in names


@pytest.mark.parametrize("listened", [(), (15002,)], ids=["when it is asked for", "with the nat rules"])
async def test_a_socket_that_listens_inside_is_handed_over(runtime, listened):
    task = await runtime.create("web-1", Network((Capture("169.254.170.2", 32, 15002),), listened=listened))
    with await task.listen(15002) as listener:
        await task.start(python(call("127.0.0.1", 15002)))
        listener.setblocking(False)
        client, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 60)
        with client:
            await asyncio.get_running_loop().sock_sendall(client, b"from outside")
        assert await end_of(task, "app") == 0
        assert log(runtime, task) == ["from outside"]


async def test_what_a_container_uses_is_told_in_the_shape_of_the_engine(task):
    await task.start(python(SLEEP))
    found = await task.stats("app")
    assert found["memory_stats"]["usage"] > 0
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    await task.signal("app", signal.SIGKILL)
    assert await end_of(task, "app") == 137
    assert await task.stats("app") is None
    state = task.processes()["app"].container
    assert state.name.endswith("-web-1-app")
    assert state.image_id.startswith("sha256:")
