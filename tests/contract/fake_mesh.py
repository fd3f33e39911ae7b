"""A node agent over a runtime without namespaces, in the process of the test, with a real registry and its API; an Envoy that
a script stands in for.
"""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from tests.contract.fake_runtime import FakeMachine, FakeRuntime
from tests.e2e.machine import Machine
from tsunagu.kit import tokens
from tsunagu.v1 import node_pb2
from tsunagu_node.agent import NodeAgent
from tsunagu_node.api import Api
from tsunagu_node.control import ControlPlane
from tsunagu_node.dns.machine_dns import MachineDns
from tsunagu_node.dns.name_server import NameServers
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.identity.trust import Trust
from tsunagu_node.outside.egress import Outside
from tsunagu_node.registration import Identity
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.signals.collector import Collector
from tsunagu_node.signals.relay_collector import RelayCollector
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.names import Names

SLEEP = "import time; time.sleep(600)"
ENVOY = Path(__file__).with_name("scripted_envoy.py")
STATS = "http.ingress.http.downstream_rq_active", "http.ingress.http.downstream_rq_total"


class Mesh(Machine):
    """A mesh directory with a control plane, and a machine of fake tasks that outlives its node agents."""

    fake: FakeMachine

    @asynccontextmanager
    async def agent(self):
        """A node agent in this process, until the end of the context; its tasks run on."""
        control = ControlPlane(self.home / "api.sock")
        runtime = FakeRuntime(self.fake)
        environment = {"PATH": os.environ["PATH"]}
        envoy = str(self.home / "envoy")
        key = tokens.load_key(self.home / "key")
        names = Names()
        outside = Outside(runtime.way_out)
        name_servers = NameServers.of(runtime, names, outside)
        collector, folders = Collector(control.push_signals), Folders.of(self.home)
        left = RelayCollector(control.push_signals, runtime.way_out.counts)
        hosts = HostIdentities(Trust(), control.issue, key, folders.hosts)
        dependencies = Dependencies(
            folders, runtime, control, names, name_servers, outside, collector, left, environment, envoy, key, hosts
        )
        identity = Identity("laptop", "0", f"unix:{self.home}/node.sock", os.getpid(), 10, "a test chose it")
        agent = NodeAgent(dependencies, identity, MachineDns(name_servers.resolver, name_servers.discovered))
        api = Api(agent, dependencies)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(agent.run(), name="agent")
            await api.start(self.home / "node.sock")
            try:
                yield agent
            finally:
                await api.stop()
                running.cancel()
        await runtime.close()
        await control.close()

    def proxies_have(self, *listeners, active=0):
        """What the Envoys say of themselves from now on."""
        (self.home / "listeners.json").write_text(json.dumps(listeners))
        (self.home / "stats.json").write_text(json.dumps(dict.fromkeys(STATS, active)))

    async def ends(self, name):
        """Waits until the container `name` of the task web-1 is known to have ended."""

        async def ended():
            return container(await self.status(), name).last_status == "STOPPED"

        await self.until(ended, f"{name} has ended")


@asynccontextmanager
async def opened_mesh(home: Path):
    """A mesh in `home` whose control plane answers, without a node agent."""
    (home / "envoy").write_text(f'#!/bin/sh\nexec {sys.executable} -I {ENVOY} "$@"\n')
    (home / "envoy").chmod(0o755)
    async with (
        FakeMachine(home, {"shop/sleep:1": [sys.executable, "-c", SLEEP]}) as fake,
        asyncio.TaskGroup() as group,
    ):
        made = Mesh(home, group)
        made.fake = fake
        await made.serve()
        yield made
        await made.cut()
        made.close()


def together(flag):
    """Two essential containers: `app` ends with code 3 once `other`, which goes on, has begun. `flag`: a path that both can see."""
    ends = f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\nraise SystemExit(3)"
    return app(ends), app(f"open({str(flag)!r}, 'w').close()\n{SLEEP}", "other")


def app(code=SLEEP, name="app", **more):
    return {"name": name, "command": [sys.executable, "-u", "-c", code], "stopTimeout": 2, **more}


def container(status, name="app"):
    return next(one for one in status.containers if one.name == name)


async def exec_(mesh, *command, stdin=b""):
    """Return exit code, stdout and stderr of a command in the task web-1."""
    start = node_pb2.ExecRequest(start=node_pb2.ExecStart(task="default/web-1", command=command))
    requests = [start, node_pb2.ExecRequest(stdin=stdin), node_pb2.ExecRequest(stdin_eof=True)]
    written = {"stdout": b"", "stderr": b""}
    async with mesh.node() as node:
        async for response in node.Exec(iter(requests)):
            kind = response.WhichOneof("response")
            if kind == "exit_code":
                return response.exit_code, written["stdout"], written["stderr"]
            written[kind] += getattr(response, kind)
    raise AssertionError("no exit code")
