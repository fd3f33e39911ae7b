"""The controllers as a whole, over a real store and mirror: they converge, and no disturbance makes a task too many."""

from tests.unit.controllers.world import World, gateway, node, service, task_definition


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
