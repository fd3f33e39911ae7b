"""From a change in the registry to what proxies are offered."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tsunagu.kit.clock import SystemClock
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.published import PublishedState
from tsunagu.serve.publisher import Pace, Publisher, cause
from tsunagu.testing import objects as o
from tsunagu.testing.clock import ManualClock
from tsunagu.xds.resources import EDS

ORDERS = "default/orders/a1"
SHOP = [
    o.namespace(),
    o.node(),
    o.service("default/orders", "a1"),
    o.revision(ORDERS, o.port("orders")),
    o.task("default/orders-1", ORDERS, "10.9.0.2"),
]


class Publishing:
    """A registry, its informer and a publisher; stands for the xDS server, and keeps what it was offered."""

    def __init__(self, clock):
        self.registry = Registry(MemoryStore())
        self.informer = Informer(self.registry)
        self.offers = []
        self.notified = []
        self.published = PublishedState()
        self.publisher = Publisher(self.informer, self.published, self, clock=clock, on_published=self._on_published)
        self.answering = asyncio.Event()  # whether proxies answer, and after how long
        self.answering.set()
        self.takes = 0.0
        self._clock = clock
        self._came = asyncio.Event()

    def publish(self, updates, revision, why):
        self.offers.append((list(updates), revision, why))
        self._came.set()

    async def answered(self, timeout):
        assert timeout == Pace().longest
        await self.answering.wait()
        await self._clock.sleep(self.takes)

    def _on_published(self, changes):
        self.notified.append((len(self.offers), sorted(name for kind, name, _, _ in changes if kind == "Task")))

    async def until(self, revision):
        async with asyncio.timeout(60):
            while not self.offers or self.offers[-1][1] < revision:
                await self._came.wait()
                self._came.clear()
        return self.offers[-1]

    def names(self, index=-1):
        return [resource.name for update in self.offers[index][0] for resource in update.upserts]


@asynccontextmanager
async def publishing(objects=(), clock=None):
    world = Publishing(clock or SystemClock())
    if objects:
        await world.registry.batch([PutObject(one) for one in objects])
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(world.informer.run()), group.create_task(world.publisher.run())]
        yield world
        for task in running:
            task.cancel()


async def test_the_first_offer_is_the_whole_state_and_is_told_when_it_is_made():
    async with publishing(SHOP) as world:
        _, revision, why = await world.until(1)
        assert (revision, world.notified) == (1, [(1, ["default/orders-1"])])
        assert "svc/shop/orders" in world.names()
        assert why == "Task default/orders-1 RUNNING, Service default/orders and 3 more"
        assert world.published.view.namespaces() == ["shop"]


async def test_an_empty_registry_is_offered_too():
    async with publishing() as world:
        assert await world.until(0) == ([], 0, "nothing that proxies see")
        assert world.notified == [(1, [])]


async def test_a_change_is_offered_by_itself_with_its_cause():
    async with publishing(SHOP) as world:
        await world.until(1)
        revision = await world.registry.put(o.task("default/orders-2", ORDERS, "10.9.0.3"))
        updates, offered, why = await world.until(revision)
        assert [(update.bundle, [one.type_url for one in update.upserts]) for update in updates] == [("ns/shop", [EDS])]
        assert (offered, why) == (revision, "Task default/orders-2 RUNNING")
        assert world.notified[1:] == [(2, ["default/orders-2"])]


async def test_a_revision_that_changes_nothing_is_offered_all_the_same():
    async with publishing(SHOP) as world:
        await world.until(1)
        revision = await world.registry.put(o.task("default/orders-2", ORDERS, "", last_status="PENDING"))
        assert await world.until(revision) == ([], revision, "Task default/orders-2 PENDING")


async def test_a_large_state_is_made_off_the_loop():
    tasks = [o.task(f"default/orders-{number}", ORDERS, f"10.9.1.{number}") for number in range(2, 102)]
    async with publishing([*SHOP, *tasks]) as world:
        await world.until(1)
        assert len(world.published.view.endpoints("shop", "orders")) == 101


async def many(world, *numbers):
    for number in numbers:
        revision = await world.registry.put(o.task(f"default/orders-{number}", ORDERS, f"10.9.0.{number}"))
    await world.informer.wait_revision(revision)
    return revision


@pytest.mark.case(127)
async def test_what_comes_before_the_answers_is_merged_and_then_the_publisher_rests_as_long_as_they_took():
    clock = ManualClock()
    async with publishing(SHOP, clock) as world:
        world.answering.clear()
        await world.until(1)
        early = await many(world, *range(2, 40))
        assert len(world.offers) == 1
        world.answering.set()
        await world.until(early)  # all in one, at once
        assert len(world.offers) == 2
        late = await many(world, 40, 41)
        assert len(world.offers) == 2  # it rests
        await clock.advance(Pace().shortest)
        assert await world.until(late) == world.offers[2]


@pytest.mark.case(127)
@pytest.mark.parametrize(("takes", "rest"), [(0.0, Pace().shortest), (0.02, 0.02), (9.0, Pace().longest)])
async def test_in_a_storm_it_rests_as_long_as_the_answers_took_within_bounds(takes, rest):
    clock = ManualClock()
    async with publishing(SHOP, clock) as world:
        world.answering.clear()
        await world.until(1)
        early = await many(world, 3)
        world.answering.set()
        world.takes = takes
        await clock.advance(takes)
        await world.until(early)
        late = await many(world, 4)
        await clock.advance((takes + rest) * 0.99)
        assert len(world.offers) == 2
        await clock.advance((takes + rest) * 0.02)
        assert await world.until(late) == world.offers[2]


async def test_changes_that_wait_for_the_one_before_are_offered_at_once():
    async with publishing(SHOP, ManualClock()) as world:
        await world.until(1)
        for number in range(3, 13):
            await world.until(await many(world, number))  # without time moving on
        assert len(world.offers) == 11


async def test_what_changes_nothing_waits_for_no_answer():
    async with publishing(SHOP, ManualClock()) as world:
        await world.until(1)
        world.answering.clear()
        for number in range(2, 5):
            pending = o.task(f"default/orders-{number}", ORDERS, "", last_status="PENDING")
            await world.until(await world.registry.put(pending))


CAUSES = [
    ([o.task("default/t", ORDERS, "10.9.0.2")], "Task default/t RUNNING"),
    ([o.task("default/t", ORDERS, "", last_status="")], "Task default/t created"),
    ([o.task("default/t", ORDERS, "10.9.0.2", desired_status="STOPPED")], "Task default/t to be STOPPED"),
    ([o.task("default/t", ORDERS, "10.9.0.2", health_status="UNHEALTHY")], "Task default/t RUNNING UNHEALTHY"),
    ([o.node(), o.address("orders", "127.255.0.1")], "Node n1, VirtualAddress shop/orders"),
    ([], "nothing that proxies see"),
]


@pytest.mark.parametrize(("objects", "words"), CAUSES, ids=[words for _, words in CAUSES])
def test_causes_are_words(objects, words):
    kinds = {"task": "Task", "node": "Node", "virtual_address": "VirtualAddress"}
    assert cause([(kinds[one.WhichOneof("body")], one.meta.name, None, one) for one in objects]) == words


def test_a_deletion_and_what_no_proxy_sees():
    assert cause([("Task", "default/t", None, None), ("Image", "x", None, None)]) == "Task default/t deleted"
