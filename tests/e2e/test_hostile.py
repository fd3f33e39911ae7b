"""A mesh under clients that mean harm: its own Envoys, and who uses it, do not notice."""

import asyncio
import stat

import grpc
import grpc.aio
import pytest

from tsunagu.kit import tokens
from tsunagu.testing import FakeProxy, Mesh
from tsunagu.testing.fake_proxy import StreamEnded

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APP = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(86400)"
SHOP = f"""kind: Namespace
name: shop
---
kind: TaskDefinition
family: app
networkMode: awsvpc
memory: "64"
containerDefinitions:
- name: app
  image: x
  command: [python3, -S, -c, "{APP}"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
---
kind: Service
serviceName: app
taskDefinition: app
desiredCount: 2
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, discoveryName: app, clientAliases: [{{port: 80, dnsName: app}}]}}]
"""


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=SHOP)
        mesh.wait_steady(60)
        yield mesh


def stranger(mesh, name, **options):
    """A client with the token of a task, as whoever can read the mesh's key has it."""
    token = tokens.mint(tokens.load_key(mesh.home.key), name)
    return FakeProxy(f"unix:{mesh.home.xds_socket}", node=name, token=token, **options)


async def boot(proxy):
    """Has accepted everything once: nothing tells it from an Envoy by what it says."""
    await proxy.subscribe("CDS")
    await proxy.ack(await proxy.receive(60))
    await proxy.subscribe("EDS", [name for name in proxy.held["CDS"] if name.startswith("svc/")])
    await proxy.subscribe("LDS")
    await proxy.until(lambda one: one.held.get("EDS") and "LDS" in one.held, 60)


def change(mesh, name, status):
    def set_status(obj):
        obj.task.status.last_status = status

    return mesh.apis.update("Task", name, set_status)


async def test_who_uses_a_tasks_token_and_never_acks_holds_nothing(mesh):
    own, other = sorted(task.meta.name for task in mesh.tasks())
    async with stranger(mesh, own) as silent:
        await boot(silent)
        revision = await asyncio.to_thread(change, mesh, other, "ACTIVATING")
        await silent.receive(60)  # and does not answer
        await asyncio.to_thread(mesh.wait_converged, timeout=60, revision=revision)
        revision = await asyncio.to_thread(change, mesh, other, "RUNNING")
        await asyncio.to_thread(mesh.wait_converged, timeout=60, revision=revision)
        proxy = await asyncio.to_thread(mesh.wait_until, lambda: synced(mesh, own), 60, "answers to all that was sent")

    assert [client.counts for client in proxy.clients] == [True, False]
    assert proxy.clients[0].version.startswith("1."), "the one that counts is Envoy"


def synced(mesh, name):
    """The proxy, once those of its clients that count have answered: a task's own agent may change its status as well."""
    (proxy,) = mesh.apis.proxies(name)
    return proxy if {of.state for of in proxy.types} == {"SYNCED"} else None


async def test_who_uses_the_token_of_a_task_that_restarts_its_envoy_does_not_become_it(mesh):
    own = min(task.meta.name for task in mesh.tasks())
    async with stranger(mesh, own) as silent:
        await boot(silent)
        await asyncio.to_thread(mesh.kill, f"envoy:{own.partition('/')[2]}")
        async with asyncio.timeout(60):
            while True:
                (proxy,) = await asyncio.to_thread(mesh.apis.proxies, own)
                if [client.counts for client in proxy.clients] == [False, True]:
                    break  # the new Envoy has come after the stranger, and is the one that counts
                await asyncio.sleep(0.1)
        await asyncio.to_thread(mesh.wait_converged, timeout=60)


async def test_large_requests_and_names_without_end_are_turned_away(mesh):
    own = min(task.meta.name for task in mesh.tasks())
    for names in (["x" * 6_000_000], [str(number) for number in range(60_000)]):
        async with stranger(mesh, own) as hostile:
            with pytest.raises(StreamEnded):
                await asyncio.gather(hostile.subscribe("EDS", names), hostile.until(lambda _: False, 60))
    method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
    options = (("grpc.max_send_message_length", -1),)
    async with grpc.aio.insecure_channel(f"unix:{mesh.home.xds_socket}", options=options) as channel:
        call = channel.stream_stream(method)()
        await asyncio.gather(call.write(b"x" * 50_000_000), return_exceptions=True)
        assert await call.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED)
    numbers = {(one.name, *one.labels.values()): one.value for one in await asyncio.to_thread(mesh.apis.metrics)}

    assert numbers["xds_streams_ended", "INVALID_ARGUMENT"] >= 1
    assert numbers["xds_streams_ended", "RESOURCE_EXHAUSTED"] >= 1
    assert numbers["xds_timeline_bytes",] < 16 << 20
    await asyncio.to_thread(mesh.wait_converged, timeout=60)


def test_nobody_else_reaches_its_sockets(mesh):
    home = mesh.home
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    for socket in (home.xds_socket, home.api_socket, home.node_socket):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
