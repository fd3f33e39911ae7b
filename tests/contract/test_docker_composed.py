"""The docker runtime of a node agent that is a container itself: the parts of the contract that differ there.

The agent runs here, but reaches the files of its tasks only by descriptors that are handed over from inside of them.
"""

from functools import partial

import pytest

from tests.contract.docker_fixtures import opened, settings, socket_of_engine  # noqa: F401
from tests.contract.runtime_suite import (  # noqa: F401
    ENVIRONMENT,
    IMAGE,
    end_of,
    home,
    log,
    output,
    runtime,
    task,
    test_a_command_in_a_container_has_streams_and_is_not_remembered,
    test_a_new_agent_adopts_what_runs_and_learns_what_ended,
    test_killed_a_task_is_gone_and_removed_it_leaves_its_logs,
    test_ports_that_are_listened_at_are_seen,
    test_published_ports_are_open_until_their_relay_is_asked_to_end,
    test_the_admin_endpoint_leads_from_the_node_agent_to_a_program_of_the_task,
    until,
)
from tsunagu_node.runtime.contract import Network, Process, Program
from tsunagu_node.runtime.docker.definition.places import Composed
from tsunagu_node.runtime.docker.engine import engine_api
from tsunagu_node.runtime.docker.settings import Settings

pytestmark = pytest.mark.e2e


@pytest.fixture
def settings(home, socket_of_engine):  # noqa: F811
    """Those that the launcher finds out in a container, with the two volumes that compose makes."""
    name = f"test-{home.name.strip('_').replace('_', '-')}"[-40:].strip("-")
    folders = {}
    for volume in ("xds", "handover"):
        folders[volume] = made(socket_of_engine, f"{name}-{volume}")
    composed = Composed(name, f"{name}-xds", f"{name}-handover", folders["handover"])
    yield Settings(socket_of_engine, sidecar_image=IMAGE, containers=True, composed=composed)
    for volume in folders:
        engine_api.call(socket_of_engine, "DELETE", f"/volumes/{name}-{volume}?force=1")


def made(socket: str, name: str) -> str:
    """The folder of a new volume."""
    return str(engine_api.call(socket, "POST", "/volumes/create", body={"Name": name})["Mountpoint"])


async def test_configuration_and_names_reach_the_task_s_processes(runtime, task):  # noqa: F811
    task.write_config("secret.json", "one")
    task.write_config("envoy.json", "the proxy's alone")
    await task.set_hosts({"orders": "127.255.0.7"})
    path = task.config_path("secret.json")
    assert await output(runtime, task, f"print(open({path!r}).read())") == ["one"]
    look = "import os, socket; print(os.path.exists('/run/tsunagu/task'), socket.gethostbyname('orders'))"
    assert await output(runtime, task, look) == ["False 127.255.0.7"]


async def test_no_task_sees_the_files_of_another(runtime, task):  # noqa: F811
    other = await runtime.create("web-2", Network())
    task.write_config("envoy.json", "one")
    other.write_config("envoy.json", "two")
    assert task.config_path("envoy.json") == other.config_path("envoy.json")
    reads = ["cat", task.config_path("envoy.json")]
    for one, text in ((task, "one"), (other, "two")):
        await one.start(Process("envoy", Program(reads), ENVIRONMENT))
        assert await end_of(one, "envoy") == 0
        await until(partial(log, runtime, one, "envoy"))
        assert log(runtime, one, "envoy") == [text]
