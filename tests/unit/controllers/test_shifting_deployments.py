"""Blue/green, linear and canary: the stages in ECS's order, the weights at each, and back at once."""

import pytest

from tests.unit.controllers.fleet import (
    NAME,
    configuration,
    deploy,
    deployed,
    deployments,
    families,
    newest,
    request,
    weights,
)
from tests.unit.controllers.world import service
from tsunagu.controllers import task_state

BAKE = 60.0


def canary(percent=5.0):
    config = configuration("CANARY")
    config.canary_configuration.canary_percent = percent
    return config


def linear(percent):
    config = configuration("LINEAR")
    config.linear_configuration.step_percent = percent
    return config


async def course(world, rounds=40):
    """(stage, step, weight of orders:2, test traffic) of every commit until the deployment is over, each once in a row."""
    seen = []
    for _ in range(rounds):
        await world.run_nodes()
        found, status = await newest(world), (await world.service()).status
        one = (
            found.lifecycle_stage,
            found.step,
            (await weights(world)).get("orders:2"),
            bool(status.traffic.test_revision),
        )
        if one not in seen:
            seen.append(one)
        if found.status != "IN_PROGRESS":
            return seen
        await world.advance(BAKE)
    raise AssertionError(f"it never ends: {seen}")


@pytest.mark.parametrize(
    ("config", "shifts"),
    [
        (configuration("BLUE_GREEN"), []),
        (canary(), [("PRODUCTION_TRAFFIC_SHIFT", 0, 50, True)]),
        (canary(100.0), []),
        (linear(40.0), [("PRODUCTION_TRAFFIC_SHIFT", 0, 400, True), ("PRODUCTION_TRAFFIC_SHIFT", 1, 800, True)]),
        (
            linear(33.3),
            [("PRODUCTION_TRAFFIC_SHIFT", step, weight, True) for step, weight in enumerate((333, 666, 999))],
        ),
    ],
    ids=["blue/green", "canary", "canary of everything", "linear", "linear in tenths"],
)
async def test_each_strategy_shifts_by_its_steps_then_bakes_then_cleans_up(config, shifts):
    async with deployed(config) as world:
        await deploy(world, bake=BAKE)
        assert await weights(world) == {"orders:1": 1000, "orders:2": 0}
        seen = await course(world)
        steps = len(shifts)
        assert seen == [*shifts, ("BAKE_TIME", steps, 1000, True), ("CLEAN_UP", steps, None, False)]
        assert (await newest(world)).status == "SUCCESSFUL"
        assert await families(world) == {"orders:2": 2}


async def test_the_target_is_fully_up_before_anything_shifts():
    async with deployed(configuration("BLUE_GREEN")) as world:
        await deploy(world, bake=BAKE)
        assert await families(world) == {"orders:1": 2, "orders:2": 2}
        first, _ = [task for task in await world.tasks(live=True) if not task_state.is_healthy(task)]
        await world.report(first.meta.name, "RUNNING")
        await world.settle()
        assert (await newest(world)).lifecycle_stage == "SCALE_UP"
        assert await weights(world) == {"orders:1": 1000, "orders:2": 0}
        assert (await world.service()).status.updated_count == 2  # the source is what the service stands for until then


async def test_lost_tasks_of_both_revisions_are_replaced_while_traffic_shifts():
    async with deployed(canary()) as world:
        await deploy(world, bake=BAKE)
        await world.run_nodes()
        for task in await world.tasks(live=True):
            await world.report(task.meta.name, "STOPPED", stop_code="EssentialContainerExited")
            await world.settle()
        await world.run_nodes()
        assert await families(world, healthy=True) == {"orders:1": 2, "orders:2": 2}
        assert await weights(world) == {"orders:1": 950, "orders:2": 50}


@pytest.mark.parametrize(
    "config", [configuration("BLUE_GREEN"), canary(), linear(40.0)], ids=["blue", "canary", "linear"]
)
@pytest.mark.parametrize("waits", [0, 1, 2])
async def test_a_rollback_gives_the_old_weights_at_once(config, waits):
    async with deployed(config) as world:
        await deploy(world, bake=BAKE)
        await world.run_nodes()
        for _ in range(waits):
            await world.advance(BAKE)
        if (await newest(world)).status != "IN_PROGRESS":
            return
        await request(world, "ROLLBACK_REQUESTED")
        assert await weights(world) in ({}, {"orders:1": 1000, "orders:2": 0})
        assert await families(world) == {"orders:1": 2}  # in the same commit the others were told to stop
        await world.run_nodes()
        assert (await newest(world)).status == "ROLLBACK_SUCCESSFUL"
        assert await weights(world) == {}


async def test_a_stopped_shift_stays_as_it_is_and_the_next_deployment_reconciles():
    async with deployed(canary(20.0)) as world:
        await deploy(world, bake=BAKE)
        await world.run_nodes()
        await request(world, "STOP_REQUESTED")
        await world.advance(10 * BAKE)
        assert (await newest(world)).status == "STOPPED"
        assert await weights(world) == {"orders:1": 800, "orders:2": 200}
        assert (await world.service()).status.rollout_state == "FAILED"
        await deploy(world, 3, bake=0.0)
        await world.run_nodes()
        third, _, first = await deployments(world)
        assert (third.status, third.source_revision) == ("SUCCESSFUL", first.target_revision)
        assert await families(world) == {"orders:3": 2}


async def test_one_that_overtakes_a_shift_goes_by_the_old_revision():
    async with deployed(canary(20.0)) as world:
        await deploy(world, bake=BAKE)
        await world.run_nodes()
        await deploy(world, 3, bake=BAKE)
        await world.run_nodes()
        assert await families(world) == {"orders:1": 2, "orders:3": 2}
        assert await weights(world) == {"orders:1": 800, "orders:3": 200}


async def test_the_users_strategy_and_bake_time_count_for_one_deployment_only():
    async with deployed() as world:
        await deploy(world, 2, strategy="BLUE_GREEN", bake=BAKE)
        await world.run_nodes()
        assert (await newest(world)).lifecycle_stage == "BAKE_TIME"
        assert not (await world.registry.get("Service", NAME)).service.HasField("next_deployment")
        await world.advance(BAKE)
        await world.run_nodes()
        await deploy(world, 3)
        await world.run_nodes()
        assert (await newest(world)).status == "SUCCESSFUL"
        assert await weights(world) == {}


async def test_a_stage_that_takes_longer_than_aws_allows_goes_back():
    async with deployed(configuration("BLUE_GREEN")) as world:
        await deploy(world)
        await world.advance(86_401)
        found = await newest(world)
        assert (found.status, found.status_reason) == ("ROLLBACK_SUCCESSFUL", "SCALE_UP took too long")


async def test_a_service_that_is_new_has_nothing_to_shift_from():
    async with deployed(canary()) as world:
        [first] = await deployments(world)
        assert first.status == "SUCCESSFUL"
        assert await weights(world) == {}


async def test_a_service_that_was_made_anew_meanwhile_has_no_history():
    """Deleted and created while no control plane ran: what the earlier service was is nothing to shift from."""
    async with deployed(canary()) as world:
        await world.stop()
        await world.registry.delete("Service", NAME)
        await world.put(service(2, alias="orders", definition="orders:2", deployment_configuration=canary()))
        await world.start()
        await world.run_nodes()
        [only] = await deployments(world)
        assert (only.status, only.source_revision) == ("SUCCESSFUL", "")
        assert await families(world) == {"orders:2": 2}


async def test_tcp_has_the_weights_and_no_test_traffic():
    def tcp(obj):
        obj.task_definition.spec.container_definitions[0].port_mappings[0].app_protocol = ""

    async with deployed(canary()) as world:
        await world.registry.update("TaskDefinition", "orders:2", tcp)
        await deploy(world, bake=BAKE)
        await world.run_nodes()
        assert (await weights(world))["orders:2"] == 50
        assert (await world.service()).status.traffic.test_revision == ""


@pytest.mark.parametrize("stop_at", range(8))
async def test_a_control_plane_that_ends_in_any_stage_goes_on_from_there(stop_at):
    """Nothing is kept outside of the registry: after the restart nothing is written anew, and the end is the same."""
    async with deployed(linear(40.0)) as world:
        await deploy(world, bake=BAKE)
        for turn in range(60):
            if turn == stop_at:
                revision = world.registry.revision
                await world.stop()
                await world.start()
                await world.settle()
                assert world.registry.revision == revision
            moved = [await world.step(task) for task in await world.tasks()]
            await world.settle()
            if not any(moved):
                await world.advance(BAKE)
            if (await newest(world)).status == "SUCCESSFUL":
                break
        await world.run_nodes()
        assert await families(world) == {"orders:2": 2}
        assert (await newest(world)).status == "SUCCESSFUL"


async def test_a_service_of_code_deploy_is_deployed_blue_green():
    async with deployed(start=False) as world:
        world.its_service.service.spec.deployment_controller.type = "CODE_DEPLOY"
        await world.put(world.its_service)
        await world.run_nodes()
        await deploy(world, bake=BAKE)
        assert (await newest(world)).configuration.strategy == "BLUE_GREEN"
        assert [stage for stage, *_ in await course(world)] == ["BAKE_TIME", "CLEAN_UP"]
        assert await families(world) == {"orders:2": 2}


async def test_percentages_that_leave_no_room_to_replace_a_task_are_no_obstacle_to_tasks_beside_the_old_ones():
    config = configuration("BLUE_GREEN")
    config.minimum_healthy_percent = config.maximum_percent = 100
    async with deployed(config) as world:
        await deploy(world, bake=BAKE)
        assert "leave no room" not in (await world.service()).status.reason
        assert (await course(world))[-1][0] == "CLEAN_UP"
