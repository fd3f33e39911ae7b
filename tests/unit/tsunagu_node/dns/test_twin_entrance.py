"""Where a connection through a twin enters: as callers' proxies do, and again when that changes while it is made."""

import asyncio
import ssl
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tsunagu.v1 import objects_pb2
from tsunagu_node.dns import twin_entrance
from tsunagu_node.dns.stream import Way
from tsunagu_node.dns.twin_entrance import Entrances
from tsunagu_node.task.calls.tls_plan import Led
from tsunagu_node.task.spec import TaskSpec

IP, PORT = "10.88.0.9", 8080
CONTEXT = object()
ORDERS = "spiffe://acme.example/ns/shop/cluster/default/service/orders"
PLAIN, SECURED = Way((IP, PORT)), Way((IP, 15400), CONTEXT, ORDERS)


class Host:
    """This machine's identity in the namespace."""

    def __init__(self, *, ready):
        self.came = asyncio.Event()
        if ready:
            self.came.set()

    @property
    def ready(self):
        return self.came.is_set()

    async def until_ready(self):
        await self.came.wait()

    def context(self):
        return CONTEXT


class Hosts:
    def __init__(self, host):
        self.host = host
        self.asked = []
        self.trust = SimpleNamespace(now=SimpleNamespace(trust_domain="acme.example"))

    @contextmanager
    def needed(self, node, namespace):
        self.asked.append((node, namespace))
        yield self.host


@contextmanager
def entrance(led, *, ready=True):
    """The entrance of the port, where callers are led as `led` says, and the machine's identity."""
    spec = objects_pb2.TaskSpec(namespace="shop", cluster="default", service="orders", node="n1")
    task = TaskSpec("default/orders-1", objects_pb2.Task(spec=spec), objects_pb2.ServiceRevision())
    hosts = Hosts(Host(ready=ready))
    with Entrances(task, SimpleNamespace(ip=IP), led, hosts).open() as made:
        yield made(PORT), hosts.host
    assert hosts.asked == [("n1", "shop")]


@pytest.mark.parametrize(
    ("led", "ready", "way"),
    [
        (Led(), True, PLAIN),
        (Led(), False, PLAIN),
        (Led(15400), True, SECURED),
        (Led(15400), False, PLAIN),
        (Led(15400, alone=True), True, SECURED),
    ],
)
async def test_it_is_as_callers_proxies_do(led, ready, way):
    with entrance(lambda port: {PORT: led}[port], ready=ready) as (one, _):
        assert await one.way() == way


async def test_where_there_is_tls_alone_it_waits_for_a_certificate():
    said = [Led(15400, alone=True)]
    with entrance(lambda _: said[-1], ready=False) as (one, host):
        waiting = asyncio.create_task(one.way())
        await asyncio.sleep(0)
        assert not waiting.done()
        host.came.set()
        assert await waiting == SECURED


async def test_it_does_not_wait_for_a_certificate_when_there_is_plaintext_again(monkeypatch):
    monkeypatch.setattr(twin_entrance, "_LOOK", 0.01)
    said = [Led(15400, alone=True)]
    with entrance(lambda _: said[-1], ready=False) as (one, _):
        waiting = asyncio.create_task(one.way())
        await asyncio.sleep(0)
        said.append(Led())
        async with asyncio.timeout(60):
            assert await waiting == PLAIN


async def test_a_mode_that_changed_while_it_waited_counts():
    said = [Led(15400, alone=True)]
    with entrance(lambda _: said[-1], ready=False) as (one, host):
        waiting = asyncio.create_task(one.way())
        await asyncio.sleep(0)
        said.append(Led())
        host.came.set()
        assert await waiting == PLAIN


def test_what_tls_says_is_logged_once_and_other_ends_are_not():
    with entrance(lambda _: Led()) as (one, _), capture_logs() as logs:
        for error in (ssl.SSLError("unknown"), ssl.SSLError("unknown"), ConnectionResetError(), ssl.SSLError("bad")):
            one.failed(error)
    assert [line["reason"] for line in logs] == ["('unknown',)", "('bad',)"]
