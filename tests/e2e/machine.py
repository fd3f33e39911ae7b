"""A mesh directory with a real node agent, and a control plane in this process that has neither controllers nor proxies."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from google.protobuf import json_format

from tsunagu.model import ids
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.api.registry import NAME, RegistryService
from tsunagu.serve.api.server import ApiServer
from tsunagu.v1 import ecs_pb2, inspector_pb2, inspector_pb2_grpc, node_pb2_grpc, objects_pb2


class Barrier(inspector_pb2_grpc.InspectorServicer):
    """Everybody has always ACKed; it counts who asked."""

    def __init__(self):
        self.asked = []

    async def Wait(self, request, context):
        self.asked.append(request)
        return inspector_pb2.WaitResponse(converged=True, revision=request.revision)

    def register(self, server):
        inspector_pb2_grpc.add_InspectorServicer_to_server(self, server)


class Machine:
    """A mesh directory with a node agent; `registry` is what it talks to."""

    def __init__(self, home: Path, group: asyncio.TaskGroup):
        self.home = home
        self._group = group
        self.barrier = Barrier()
        self.registry = Registry(MemoryStore(history=1000))
        self._life, self._end = os.pipe()
        self._agents: list[subprocess.Popen] = []

    # The control plane.

    async def serve(self):
        """Starts the control plane."""
        informer = Informer(self.registry)
        self._api = ApiServer(self.home / "api.sock")
        service = self.records = RegistryService(self.registry, informer)
        self._api.add(NAME, service.register, service.close)
        self._api.add("tsunagu.v1.Inspector", self.barrier.register)
        self._following = self._group.create_task(informer.run())
        await self._api.start()

    async def cut(self):
        """Ends it; what it knows stays."""
        await self._api.stop(0.1)
        self._following.cancel()

    async def put(self, kind, name, body, lease=""):
        return await self.registry.put(ids.make(kind, name, body))

    async def task(self, *containers, name="web-1", **revision):
        """Puts a task of these containers, as a controller would."""
        definition = json_format.ParseDict(
            {"containerDefinitions": list(containers)}, ecs_pb2.RegisterTaskDefinitionRequest()
        )
        made = objects_pb2.ServiceRevision(cluster="default", service="web", task_definition=definition, **revision)
        await self.put("ServiceRevision", f"default/web/{name}", made)
        spec = objects_pb2.TaskSpec(
            cluster="default",
            service="web",
            service_revision=f"default/web/{name}",
            node="laptop",
            desired_status="RUNNING",
        )
        await self.put("Task", f"default/{name}", objects_pb2.Task(spec=spec))

    async def stop(self, name="web-1", code="ServiceSchedulerInitiated", reason="scaled in"):
        def change(obj):
            spec = obj.task.spec
            spec.desired_status, spec.stop_code, spec.stop_reason = "STOPPED", code, reason

        await self.registry.update("Task", f"default/{name}", change)

    async def status(self, name="web-1"):
        return (await self.registry.get("Task", f"default/{name}")).task.status

    async def until(self, condition, what="", seconds=60.0):
        """Waits until `condition()` (may be a coroutine function) is true, and returns what it returned."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := await condition()):  # noqa: ASYNC110 - there is no event of another process to wait for
                    await asyncio.sleep(0.02)
                return value
        except TimeoutError:
            raise AssertionError(f"not in time: {what or condition}\n{self.last_words()}") from None

    async def reaches(self, status, name="web-1", seconds=60.0):
        async def reached():
            found = await self.status(name)
            return found if found.last_status == status else None

        return await self.until(reached, f"{name} {status}", seconds)

    # The agent.

    def start(self):
        env = {**os.environ, "TSUNAGU_LIFE_FD": str(self._life)}
        command = [sys.executable, "-m", "tsunagu_node", "--home", str(self.home)]
        log = (self.home / "node.err").open("ab")
        with log:
            agent = subprocess.Popen(
                command, env=env, pass_fds=(self._life,), stdout=log, stderr=log, start_new_session=True
            )
        self._agents.append(agent)
        return agent

    @property
    def sandbox(self):
        return json.loads((self.home / "sandbox.json").read_text())

    def end(self):
        """The end of the mesh's life: what `up` does, however it dies."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1

    def close(self):
        self.end()
        for agent in self._agents:
            try:
                agent.wait(10)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
        os.close(self._life)

    def last_words(self):
        files = [self.home / "node.err", self.home / "log" / "node.log", *self.home.glob("tasks/*/log/*")]
        return "\n".join(f"== {path}\n{path.read_text()[-3000:]}" for path in files if path.exists())

    @asynccontextmanager
    async def node(self):
        async with grpc.aio.insecure_channel(f"unix:{self.home / 'node.sock'}") as channel:
            yield node_pb2_grpc.NodeAgentStub(channel)
