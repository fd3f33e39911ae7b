"""Deployments and births of names, over a whole registry: what frozen tasks see depends on what was asked for, and when."""

from tests.unit.controllers.world import World, node, service, task_definition
from tsunagu.model import ids
from tsunagu.registry.objects import PutObject
from tsunagu.v1 import objects_pb2


def namespace(freeze="deployment"):
    return ids.make("Namespace", "shop", objects_pb2.Namespace(freeze=freeze))


def stock():
    return service(1, name="stock", definition="stock:1", alias="stock")


async def together(world, *objects):
    """Puts all of them in one commit, as an apply does; its revision."""
    return await world.registry.batch([PutObject(obj) for obj in objects])


async def births(world):
    """(DNS name, port) -> birth."""
    found = [address.virtual_address for address in await world.all("VirtualAddress")]
    return {(one.dns_name, port): born for one in found for port, born in one.births.items()}


async def deployments(world, name):
    tasks = await world.tasks(live=True)
    return {task.task.spec.deployment for task in tasks if task.task.spec.service == name}


async def test_what_is_applied_together_is_one_deployment_however_long_the_controllers_take():
    async with World() as world:
        await world.put(node(), task_definition(), task_definition(family="stock"))
        revision = await together(world, namespace(), service(2, alias="orders"), stock())
        await world.run_nodes()
        assert await births(world) == {("orders", 80): revision, ("stock", 80): revision}
        assert await deployments(world, "orders") == await deployments(world, "stock") == {revision}


async def test_scaling_and_replacing_tasks_begin_no_deployment_and_a_forced_one_does():
    async with World() as world:
        await world.put(node(), task_definition(), task_definition(family="stock"))
        first = await together(world, namespace(), service(2, alias="orders"))
        await world.run_nodes()
        later = await together(world, stock())
        await world.registry.update("Service", "default/orders", scale_to(3))
        await world.run_nodes()
        await world.report((await world.tasks(live=True))[0].meta.name, "STOPPED")
        await world.run_nodes()
        assert len(await world.tasks(live=True)) == 4
        assert await deployments(world, "orders") == {first}
        assert await births(world) == {("orders", 80): first, ("stock", 80): later}

        await world.registry.update("Service", "default/orders", force)
        await world.run_nodes()
        [deployment] = await deployments(world, "orders")
        assert deployment > later
        assert (await births(world))["orders", 80] == first  # it was used all the time


async def test_a_service_that_returns_to_an_earlier_revision_begins_a_deployment():
    async with World() as world:
        await world.put(node(), task_definition(1), task_definition(2))
        await together(world, namespace(), service(1, alias="orders"))
        await world.run_nodes()
        seen = [(await world.service()).status]
        for number in (2, 1):
            await world.registry.update("Service", "default/orders", defined_by(number))
            await world.run_nodes()
            seen.append((await world.service()).status)
        assert seen[0].revision == seen[2].revision != seen[1].revision
        assert seen[0].deployment < seen[1].deployment < seen[2].deployment
        assert await deployments(world, "orders") == {seen[2].deployment}


async def test_to_freeze_a_namespace_is_a_deployment_of_its_services():
    async with World() as world:
        await world.put(node(), task_definition())
        first = await together(world, namespace(""), service(1, alias="orders"))
        await world.run_nodes()
        assert await deployments(world, "orders") == {first}
        frozen = await together(world, namespace())
        await world.run_nodes()
        assert await deployments(world, "orders") == {frozen}


def scale_to(count):
    def change(obj):
        obj.service.spec.desired_count = count

    return change


def defined_by(number):
    def change(obj):
        obj.service.spec.task_definition = f"orders:{number}"

    return change


def force(obj):
    obj.service.forced_deployments += 1
