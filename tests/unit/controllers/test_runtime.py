"""The controllers as a whole, over a real store and informer: they converge, and no disturbance makes a task too many."""

import asyncio
from dataclasses import replace

from structlog.testing import capture_logs

from tests.unit.controllers.world import POLICY, World, gateway, node, service, task_definition
from tsunagu.controllers import runtime as runtime_module
from tsunagu.controllers import task_state
from tsunagu.controllers.runtime import Controller, Runtime
from tsunagu.controllers.services import controller
from tsunagu.model import ids
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import DeleteObject
from tsunagu.registry.store import Conflict
from tsunagu.v1 import objects_pb2


class Slow:
    """A registry whose watch tells nothing while the gate is closed."""

    def __init__(self, registry):
        self.registry = registry
        self.gate = asyncio.Event()
        self.gate.set()

    async def list(self, kind="", prefix=""):
        return await self.registry.list(kind, prefix)

    async def watch(self, kind="", prefix="", after=0):
        async for item in self.registry.watch(kind, prefix, after):
            await self.gate.wait()
            yield item


async def turns(count=200):
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(holds):
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110  # there is no event to wait for in a registry
            await asyncio.sleep(0)


async def test_a_service_gets_its_tasks_and_says_so():
    async with World() as world:
        await world.put(node(), task_definition(), service(2, alias="orders"))
        await world.run_nodes()
        status = (await world.service()).status
        assert (status.running_count, status.pending_count, status.updated_count) == (2, 0, 2)
        assert (status.rollout_state, status.reason) == ("COMPLETED", "")
        newest_first = [event.message for event in status.events]
        assert newest_first[0] == "(service orders) has reached a steady state."
        assert newest_first[-1].startswith("(service orders) has started 2 tasks: (task orders-")
        [address] = await world.all("VirtualAddress")
        assert (address.meta.name, address.virtual_address.ip) == ("shop/orders", "127.255.0.1")


async def test_when_all_is_well_nothing_is_written():
    async with World() as world:
        await world.put(node(), task_definition(), service(2, alias="orders"), gateway(8080))
        await world.run_nodes()
        revision = world.registry.revision
        await world.advance(600)
        await world.stop()
        await world.start()
        await world.settle()
        assert world.registry.revision == revision


async def test_a_changed_service_is_replaced_and_its_old_names_are_released():
    async with World() as world:
        await world.put(node(), task_definition(1), task_definition(2), service(2, alias="orders"))
        await world.run_nodes()
        before = {each.meta.name for each in await world.tasks()}
        await world.registry.update(
            "Service",
            "default/orders",
            lambda obj: obj.service.spec.MergeFrom(service(2, definition="orders:2").service.spec),
        )
        await world.run_nodes()
        after = {each.meta.name for each in await world.tasks(live=True)}
        assert len(after) == 2
        assert not after & before
        assert (await world.service()).status.rollout_state == "COMPLETED"
        await world.registry.delete("Service", "default/orders")
        await world.run_nodes()
        assert await world.tasks() == []
        assert await world.all("ServiceRevision") == []
        [address] = await world.all("VirtualAddress")
        assert address.virtual_address.HasField("released_at")


async def test_a_killed_task_is_replaced_at_once_and_a_failing_one_ever_later():
    async with World() as world:
        await world.put(node(), task_definition(), service(1))
        await world.run_nodes()
        await world.advance(20)
        waits = []
        for _ in range(5):
            [alive] = await world.tasks(live=True)
            await world.report(alive.meta.name, "STOPPED", stop_code="EssentialContainerExited")
            await world.settle()
            waited = 0
            while not await world.tasks(live=True):
                await world.advance(1)
                waited += 1
            waits.append(waited)
            await world.run_nodes()
        assert waits == [0, 0, 1, 2, 4]


async def test_tasks_of_a_lost_node_move_and_a_node_that_returns_finds_them_over():
    async with World() as world:
        await world.put(node("one"), node("two"), task_definition(), service(2))
        await world.run_nodes()
        await world.registry.delete("Node", "one")
        await world.settle()
        live = await world.tasks(live=True)
        assert [each.task.spec.node for each in live] == ["two", "two"]
        [lost] = [each for each in await world.tasks() if each.task.spec.node == "one"]
        assert (lost.task.spec.desired_status, lost.task.status.last_status) == ("STOPPED", "STOPPED")
        await world.put(node("one"))
        await world.run_nodes()
        assert len(await world.tasks(live=True)) == 2


async def test_a_service_waits_for_its_task_definition_and_for_a_node():
    async with World() as world:
        await world.put(service(1))
        await world.settle()
        assert "no task definition 'orders:1' is registered" in (await world.service()).status.reason
        await world.put(task_definition())
        await world.settle()
        assert "no node is READY" in (await world.service()).status.reason
        await world.put(node())
        await world.run_nodes()
        assert (await world.service()).status.running_count == 1


async def test_a_service_whose_image_has_no_command_any_more_keeps_what_runs():
    anything = ids.make("Image", "anything", objects_pb2.Image(pattern="*", command=["serve"]))
    narrower = ids.make("Image", "narrower", objects_pb2.Image(pattern="orders:*"))
    bare = task_definition()
    del bare.task_definition.spec.container_definitions[0].command[:]
    async with World() as world:
        await world.put(node(), anything, bare, service(1))
        await world.run_nodes()
        before = await world.service(), await world.tasks()
        for change, reason in (
            (world.registry.put(narrower), "the Image 'orders:*' has no command, and neither has container 'app'"),
            (world.registry.batch([DeleteObject("Image", "anything"), DeleteObject("Image", "narrower")]), "no Image"),
        ):
            await change
            await world.run_nodes()
            assert reason in (await world.service()).status.reason
            assert (await world.service()).status.revision == before[0].status.revision
            assert await world.tasks() == before[1]
        await world.put(anything)
        await world.run_nodes()
        assert (await world.service()).status.reason == ""
        assert await world.tasks() == before[1]


async def test_a_gateway_follows_its_ports():
    async with World() as world:
        await world.put(node(), gateway(8080))
        await world.run_nodes()
        await world.put(gateway(9090))
        await world.run_nodes()
        [alive] = await world.tasks(live=True)
        assert [port.host_port for port in alive.task.spec.publish] == [9090]
        await world.registry.delete("Gateway", "front")
        await world.run_nodes()
        assert await world.tasks() == []


async def test_a_slow_mirror_makes_no_task_too_many():
    slow = []
    async with World(source=lambda registry: slow.append(Slow(registry)) or slow[0]) as world:
        await world.put(node(), task_definition(), service(3), service(2, name="web"))
        await world.settle()
        assert len(await world.tasks()) == 5
        slow[0].gate.clear()
        for each in await world.tasks():
            await world.registry.delete("Task", each.meta.name)
        await turns()
        assert await world.tasks() == []  # nothing is known of it yet
        slow[0].gate.set()
        await eventually(world.tasks)
        slow[0].gate.clear()  # the controllers have begun; their own commits are not seen
        await turns()
        assert len(await world.tasks()) <= 5
        slow[0].gate.set()
        await world.run_nodes()
        assert len(await world.tasks()) == 5


async def test_two_control_planes_over_one_registry_make_no_task_too_many():
    async with World() as world, asyncio.TaskGroup() as group:
        slow = Slow(world.registry)
        informer = Informer(slow)
        other = Runtime(world.registry, informer, world.clock, world.policy)
        running = [group.create_task(informer.run()), group.create_task(other.run())]
        await informer.wait_synced()
        for desired in (3, 1, 4):
            slow.gate.clear()
            await world.put(node(), task_definition(), service(desired))
            await turns()
            slow.gate.set()
            await world.run_nodes()
            assert len(await world.tasks(live=True)) == desired
        for each in running:
            each.cancel()


async def test_a_reconciliation_that_fails_is_tried_again_and_holds_up_no_other(monkeypatch):
    failures = []

    def broken(informer, name, now, policy):
        if name.endswith("/web") and len(failures) < 3:
            failures.append(now)
            raise RuntimeError("something nobody thought of")
        return controller.plan(informer, name, now, policy)

    broken_first = (Controller("services", controller.keys_for, broken), *runtime_module.CONTROLLERS[1:])
    monkeypatch.setattr(runtime_module, "CONTROLLERS", broken_first)
    async with World() as world:
        await world.put(node(), task_definition(), service(1, name="web"), service(1))
        await world.settle()
        assert len(await world.tasks()) == 1
        await world.advance(60)
        assert len(failures) == 3
        assert len(await world.tasks()) == 2


async def test_agents_that_write_all_the_time_only_cost_another_look():
    async with World() as world:
        await world.put(node(), task_definition(1), task_definition(2), service(3))
        await world.run_nodes()
        await world.put(service(3, definition="orders:2"))
        for index in range(50):
            for each in await world.tasks():
                await world.report(each.meta.name, health_status="HEALTHY" if index % 2 else "UNKNOWN")
        await world.run_nodes()
        live = await world.tasks(live=True)
        assert len(live) == 3
        assert all(map(task_state.is_running, live))


async def test_a_conflict_with_a_change_that_never_comes_holds_up_nobody_for_ever():
    async with World(replace(POLICY, catch_up=0.01)) as world:
        batch = world.registry.batch
        conflicts = []

        async def lying(changes):
            if any("orders" in each.obj.meta.name for each in changes) and not conflicts:
                conflicts.append(Conflict("services/default/orders", 1, 10**6))
                raise conflicts[0]
            return await batch(changes)

        world.registry.batch = lying
        await world.put(node(), task_definition(), service(1), service(1, name="web"))
        await eventually(world.tasks)
        assert [each.task.spec.service for each in await world.tasks()] == ["web"]
        await world.advance(60)
        assert len(await world.tasks()) == 2


async def test_what_has_vanished_unseen_is_looked_at_again_after_a_while():
    slow = []
    async with World(source=lambda registry: slow.append(Slow(registry)) or slow[0]) as world:
        await world.put(node(), task_definition(), service(1))
        await world.run_nodes()
        [only] = await world.tasks()
        await world.put(service(0))
        await world.run_nodes()
        slow[0].gate.clear()
        await world.registry.delete("Task", only.meta.name)
        await world.clock.advance(3600)  # its record is due to go: a conflict, since it is gone
        slow[0].gate.set()
        await world.advance(60)
        assert await world.tasks() == []


async def test_a_problem_without_a_status_to_say_it_in_is_logged_once_and_so_is_its_end(monkeypatch):
    problems = {"default/orders": "no virtual address is left"}

    def plan(informer, name, now, policy):
        return replace(controller.plan(informer, name, now, policy), problem=problems.get(name, ""))

    monkeypatch.setattr(runtime_module, "CONTROLLERS", (Controller("services", controller.keys_for, plan),))
    with capture_logs() as logged:
        async with World() as world:
            await world.put(node(), task_definition(), service(1))
            await world.run_nodes()
            problems.clear()
            await world.put(service(2))
            await world.run_nodes()
    told = [(line["event"], line["log_level"], line.get("problem")) for line in logged if "reconcile" in line["event"]]
    assert told == [
        ("cannot reconcile", "error", "no virtual address is left"),
        ("can reconcile again", "info", None),
    ]


async def test_a_silent_node_keeps_its_tasks_and_gets_no_new_ones():
    async with World() as world:
        await world.put(node("one"), node("two"), task_definition(), service(2))
        await world.run_nodes()
        before = {each.meta.name: each.task for each in await world.tasks()}
        await world.registry.delete("NodeLease", "one")
        await world.settle()
        assert {each.meta.name: each.task for each in await world.tasks()} == before
        assert (await world.service()).status.running_count == 2
        await world.put(service(4))
        await world.settle()
        new = [each for each in await world.tasks() if each.meta.name not in before]
        assert [each.task.spec.node for each in new] == ["two", "two"]
        await world.put(node("one"))
        await world.put(service(5))
        await world.settle()
        assert sorted(each.task.spec.node for each in await world.tasks()) == ["one"] * 2 + ["two"] * 3


async def test_a_task_definition_that_is_not_there_and_no_room_for_the_tasks_of_the_last_are_both_said_once():
    def deploy_unknown(obj):
        obj.service.spec.task_definition = "orders:999"

    async with World() as world:
        await world.put(node(), task_definition(), service(2))
        await world.run_nodes()
        await world.registry.update("Service", "default/orders", deploy_unknown)
        await world.settle()
        await world.registry.delete("Node", node().meta.name)
        for task in await world.tasks():
            await world.registry.delete("Task", task.meta.name)
        await world.settle()  # or the controllers would write events without end

        status = (await world.service()).status
        assert "orders:999" in status.reason
        assert "was unable to place 2 tasks" in status.reason
        assert len([event for event in status.events if "unable to place 2 tasks" in event.message]) == 1
