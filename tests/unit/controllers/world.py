"""What the tests of the controllers are made of: objects in one line, and a world of memory, a clock and fake nodes."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType

from tsunagu.controllers import task_state
from tsunagu.controllers.policy import Policy
from tsunagu.controllers.runtime import Runtime
from tsunagu.model import ids
from tsunagu.model.statuses import ENDING
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.testing.clock import ManualClock
from tsunagu.v1 import ecs_pb2, objects_pb2

NOW = 1_800_000_000.0
POLICY = Policy()
NEW = "default/orders/new"
OLD = "default/orders/old"


def at(obj, revision, created=None):
    obj.meta.revision = revision
    obj.meta.created_revision = revision if created is None else created
    return obj


def service(
    desired=1, *, minimum=None, maximum=None, definition="orders:1", name="orders", alias="", revision=1, **spec
):
    """A Service; with `alias` it serves its port `web` under that name."""
    request = ecs_pb2.CreateServiceRequest(
        cluster="default", service_name=name, task_definition=definition, desired_count=desired, **spec
    )
    if minimum is not None:
        request.deployment_configuration.minimum_healthy_percent = minimum
    if maximum is not None:
        request.deployment_configuration.maximum_percent = maximum
    if alias:
        connect = request.service_connect_configuration
        connect.enabled = True
        connect.namespace = "shop"
        client = ecs_pb2.ServiceConnectClientAlias(dns_name=alias, port=80)
        connect.services.add(port_name="web", client_aliases=[client])
    return at(ids.make("Service", f"default/{name}", objects_pb2.Service(spec=request)), revision)


def task_definition(revision=1, family="orders"):
    request = ecs_pb2.RegisterTaskDefinitionRequest(family=family)
    container = request.container_definitions.add(name="app", image=f"{family}:{revision}", command=["serve"])
    container.port_mappings.add(name="web", container_port=8080, app_protocol="http")
    body = objects_pb2.TaskDefinition(spec=request, revision=revision)
    return ids.make("TaskDefinition", f"{family}:{revision}", body)


def service_revision(name=NEW, *, aliases=(), namespace="shop", revision=1):
    cluster, owner, _ = name.split("/")
    body = objects_pb2.ServiceRevision(cluster=cluster, service=owner, namespace=namespace)
    if aliases:
        body.ports.add(port_name="web", aliases=[objects_pb2.Alias(dns_name=alias, port=80) for alias in aliases])
    return at(ids.make("ServiceRevision", name, body), revision)


def task(
    index=0,
    last="RUNNING",
    *,
    revision=NEW,
    node="one",
    desired=True,
    health="",
    code="",
    reason="",
    attempt=0,
    started=None,
    stopped=None,
    created=None,
):
    """A Task of default/orders; times are seconds before NOW."""
    body = objects_pb2.Task()
    body.spec.cluster, body.spec.service, body.spec.service_revision = "default", "orders", revision
    body.spec.node, body.spec.attempt = node, attempt
    body.spec.desired_status = "RUNNING" if desired else "STOPPED"
    body.spec.stop_reason = reason
    body.status.last_status, body.status.health_status, body.status.stop_code = last, health, code
    for field, ago in (("started_at", started), ("stopped_at", stopped), ("created_at", created)):
        if ago is not None:
            getattr(body.status, field).FromMicroseconds(int((NOW - ago) * 1e6))
    return at(ids.make("Task", f"default/orders-{index:08x}", body), 10 + index)


def node(name="one", capacity=0):
    return ids.make("Node", name, objects_pb2.Node(runtime="linux", task_capacity=capacity))


def gateway(*ports, name="front", revision=1):
    published = [objects_pb2.PublishedPort(host_port=port, alias="web", port=80) for port in ports]
    body = objects_pb2.Gateway(namespace="shop", cluster="default", ports=published)
    return at(ids.make("Gateway", name, body), revision)


class World:
    """A registry in memory, its informer, a clock that stands still, and the controllers (`start`, `stop`)."""

    def __init__(self, policy=POLICY, source=None):
        self.clock = ManualClock(epoch=NOW)
        self.policy = policy
        self.registry = Registry(MemoryStore())
        self.informer = Informer(source(self.registry) if source else self.registry, detect_mutations=True)
        self.runtime = None
        self._stack = AsyncExitStack()
        self._running = None

    async def __aenter__(self):
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._informing = self._group.create_task(self.informer.run())
        await self.informer.wait_synced()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ):
        self.informer.check_mutations()
        await self.stop()
        self._informing.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    async def start(self):
        self.runtime = Runtime(self.registry, self.informer, self.clock, self.policy)
        self._running = self._group.create_task(self.runtime.run())

    async def stop(self):
        self._running.cancel()
        await asyncio.wait([self._running])

    async def put(self, *objects):
        """Puts them; a Node as its agent does, with a NodeLease."""
        for obj in objects:
            if ids.kind_of(obj) == "Node":
                await self.registry.put(ids.make("NodeLease", obj.meta.name, objects_pb2.NodeLease(pid=1)))
            await self.registry.put(obj)

    async def settle(self):
        """Until the controllers have seen everything and have nothing to do (but for delays)."""
        async with asyncio.timeout(60):
            while not (self.runtime.idle and self.informer.revision == self.registry.revision):  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def advance(self, seconds):
        await self.clock.advance(seconds)
        await self.settle()

    async def all(self, kind):
        return (await self.registry.list(kind))[0]

    async def tasks(self, *, live=False):
        return [each for each in await self.all("Task") if task_state.is_live(each) or not live]

    async def service(self, name="default/orders"):
        found = await self.registry.get("Service", name)
        return found.service if found else None

    async def report(self, name, last="", **status):
        """What a node agent does: writes a task's status."""

        def write(obj):
            told = obj.task.status
            told.last_status = last or told.last_status
            for member, value in status.items():
                setattr(told, member, value)
            if last == "RUNNING":
                told.started_at.FromMicroseconds(int(self.clock.now() * 1e6))
            if last == "STOPPED":
                told.stopped_at.FromMicroseconds(int(self.clock.now() * 1e6))

        await self.registry.update("Task", name, write)

    async def step(self, obj):
        """One step of a task's life, as its node agent takes it; False when there is none left."""
        spec, last = obj.task.spec, obj.task.status.last_status
        if last == "STOPPED" or await self.registry.get("Node", spec.node) is None:
            return False
        up = {"": "PENDING", "PENDING": "RUNNING"}
        down = {"DEACTIVATING": "STOPPED"}
        going = spec.desired_status == "STOPPED" or last in ENDING
        then = down.get(last, "DEACTIVATING") if going else up.get(last)
        if then is None:
            return False
        await self.report(obj.meta.name, then)
        return True

    async def run_nodes(self, rounds=100):
        """The node agents do their work until there is none left; the controllers see every step."""
        for _ in range(rounds):
            await self.settle()
            if not any([await self.step(obj) for obj in await self.tasks()]):
                return
        raise AssertionError("the tasks never came to rest")
