"""A deployment and its alarms: it goes back by one, waits for data of one, and never takes silence for good news."""

import pytest

from tests.unit.controllers.fleet import (
    alarm,
    deploy,
    deployed,
    fail,
    families,
    newest,
    request,
    watched,
    weights,
)
from tests.unit.controllers.world import POLICY

BAKE = 60.0


async def to_the_canary(world):
    """Deploy orders:2, up to the step in which it has 5 percent; return the deployment's number."""
    await deploy(world, bake=BAKE)
    await world.run_nodes()
    assert (await newest(world)).lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT"
    return (await world.service()).status.deployment


async def set_alarm(world, name, value, number=0, **more):
    await world.put(alarm(name, value, deployment=number, **more))
    await world.settle()


@pytest.mark.parametrize("stage", ["PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"])
async def test_an_alarm_sends_a_deployment_back_in_any_stage_and_says_why(stage):
    async with deployed(watched("errors")) as world:
        await set_alarm(world, "errors", "OK")
        number = await to_the_canary(world)
        if stage == "BAKE_TIME":
            await set_alarm(world, "errors", "OK", number)
            await world.advance(BAKE)
        assert (await newest(world)).lifecycle_stage == stage
        await set_alarm(world, "errors", "ALARM", number)
        found = await newest(world)
        assert found.status == "ROLLBACK_SUCCESSFUL"  # the source's tasks are all still there
        assert found.status_reason == "alarm errors is in ALARM: ErrorRate was 12 %"
        assert (found.alarms.status, list(found.alarms.triggered_alarm_names)) == ("TRIGGERED", ["errors"])
        assert await families(world) == {"orders:1": 2}


async def test_the_reason_has_the_last_line_of_a_task_that_failed():
    async with deployed(watched("errors"), desired=2) as world:
        await set_alarm(world, "errors", "OK")
        await deploy(world)
        await fail(world)
        number = (await world.service()).status.deployment
        await set_alarm(world, "errors", "ALARM", number)
        assert (await newest(world)).status_reason.endswith("; its last task that failed: no such program: serve")


async def test_without_rollback_an_alarm_stops_the_deployment():
    async with deployed(watched("errors", rollback=False)) as world:
        await set_alarm(world, "errors", "")
        number = await to_the_canary(world)
        await set_alarm(world, "errors", "ALARM", number)
        found = await newest(world)
        assert (found.status, found.alarms.status) == ("STOPPED", "TRIGGERED")
        assert await weights(world) == {"orders:1": 950, "orders:2": 50}
        assert (await world.service()).status.rollout_state == "FAILED"


async def test_a_bake_waits_for_data_and_ends_when_it_comes():
    async with deployed(watched("errors", "times")) as world:
        await set_alarm(world, "errors", "")
        await set_alarm(world, "times", "OK", of_target=False)
        number = await to_the_canary(world)
        await world.advance(10 * BAKE)
        found = await newest(world)
        assert found.lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT"
        assert list(found.alarms.awaited_alarm_names) == ["errors"]
        assert "it waits for data of alarm errors" in (await world.service()).status.reason
        await set_alarm(world, "errors", "OK", number)
        assert (await newest(world)).lifecycle_stage == "BAKE_TIME"
        await set_alarm(world, "errors", "INSUFFICIENT_DATA", number)
        await world.advance(BAKE)
        assert (await newest(world)).lifecycle_stage == "BAKE_TIME"
        await set_alarm(world, "errors", "OK", number)
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.alarms.status) == ("SUCCESSFUL", "MONITORING_COMPLETE")


async def test_a_bake_that_waits_goes_back_after_aws_s_limit_of_a_stage():
    async with deployed(watched("errors")) as world:
        await set_alarm(world, "errors", "")
        await to_the_canary(world)
        await world.advance(BAKE + POLICY.stage_limit)
        found = await newest(world)
        assert found.status == "ROLLBACK_SUCCESSFUL"
        assert found.status_reason == "PRODUCTION_TRAFFIC_SHIFT took too long: there was no data of alarm errors"


async def test_what_was_ok_for_an_earlier_deployment_is_no_data_for_this_one():
    async with deployed(watched("errors")) as world:
        number = (await world.service()).status.deployment
        await set_alarm(world, "errors", "OK", number)
        await to_the_canary(world)
        await world.advance(BAKE)
        assert (await newest(world)).lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT"


async def test_an_alarm_of_an_earlier_deployment_does_not_raise_this_one_s():
    async with deployed(watched("errors")) as world:
        await set_alarm(world, "errors", "")
        number = await to_the_canary(world)
        await set_alarm(world, "errors", "ALARM", number)
        await world.run_nodes()
        await deploy(world, 3, bake=BAKE)
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.alarms.status) == ("IN_PROGRESS", "MONITORING")


async def test_with_an_alarm_that_is_in_alarm_from_the_start_none_is_monitored_as_in_aws():
    async with deployed(watched("errors", "of all")) as world:
        await set_alarm(world, "errors", "")
        await set_alarm(world, "of all", "ALARM", of_target=False)
        number = await to_the_canary(world)
        await set_alarm(world, "errors", "ALARM", number)
        await world.advance(BAKE)
        await world.advance(BAKE)
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.alarms.status) == ("SUCCESSFUL", "DISABLED")
        assert list(found.alarms.ignored_alarm_names) == ["of all"]


async def test_an_alarm_that_is_not_there_is_not_waited_for():
    async with deployed(watched("no such alarm")) as world:
        await to_the_canary(world)
        await world.advance(BAKE)
        await world.advance(BAKE)
        await world.run_nodes()
        assert (await newest(world)).status == "SUCCESSFUL"


async def test_an_alarm_that_is_made_while_a_deployment_goes_on_counts():
    async with deployed(watched("errors")) as world:
        number = await to_the_canary(world)
        await set_alarm(world, "errors", "ALARM", number)
        assert (await newest(world)).status == "ROLLBACK_SUCCESSFUL"


async def test_a_rolling_deployment_bakes_for_as_long_as_its_alarms_look_back():
    async with deployed(watched("errors", strategy="ROLLING")) as world:
        await set_alarm(world, "errors", "")
        await deploy(world)
        await world.run_nodes()
        number = (await world.service()).status.deployment
        assert (await newest(world)).lifecycle_stage == "BAKE_TIME"
        await world.advance(29)
        await set_alarm(world, "errors", "OK", number)
        assert (await newest(world)).status == "IN_PROGRESS"
        await world.advance(1)
        assert (await newest(world)).status == "SUCCESSFUL"


async def test_a_rolling_deployment_goes_back_from_its_bake():
    async with deployed(watched("errors", strategy="ROLLING")) as world:
        await set_alarm(world, "errors", "")
        await deploy(world)
        await world.run_nodes()
        number = (await world.service()).status.deployment
        await set_alarm(world, "errors", "ALARM", number)
        await world.run_nodes()
        assert (await newest(world)).status == "ROLLBACK_SUCCESSFUL"
        assert await families(world) == {"orders:1": 2}


async def test_the_first_deployment_of_a_service_does_not_bake():
    """Nobody can have called it before it is there, and there is nothing to go back to."""
    async with deployed(watched("errors"), start=False) as world:
        await set_alarm(world, "errors", "")
        await world.put(world.its_service)
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.alarms.status) == ("SUCCESSFUL", "MONITORING_COMPLETE")


# -- a rollback that fails --------------------------------------------------------------------------------------------


async def going_back(world):
    """A rolling deployment that has replaced all tasks is turned back: its source has to be started anew."""
    await set_alarm(world, "errors", "")
    await deploy(world)
    await world.run_nodes()
    await request(world, "ROLLBACK_REQUESTED")
    assert (await newest(world)).status == "ROLLBACK_IN_PROGRESS"


async def test_a_rollback_whose_tasks_do_not_start_has_failed():
    async with deployed(watched("errors", strategy="ROLLING", breaker="rollback"), desired=2) as world:
        await going_back(world)
        for _ in range(6):
            await fail(world, "orders:1")
            await world.advance(20)
        found = await newest(world)
        assert found.status == "ROLLBACK_FAILED"
        assert "the user asked for it; and the rollback failed: " in found.status_reason
        assert "tasks of the revision to go back to failed in a row" in found.status_reason
        assert found.status_reason.endswith("no such program: serve")
        service = await world.service()
        assert (service.status.rollout_state, "could not be rolled back" in service.status.reason) == ("FAILED", True)
        assert (await families(world))["orders:2"] == 2  # which are better than nothing


async def test_the_source_is_tried_on_after_a_rollback_has_failed_and_another_deployment_ends_it():
    async with deployed(watched("errors", strategy="ROLLING", breaker="rollback"), desired=2) as world:
        await going_back(world)
        for _ in range(6):
            await fail(world, "orders:1")
            await world.advance(20)
        await world.run_nodes()
        await world.advance(900)
        await world.run_nodes()
        assert await families(world) == {"orders:1": 2}
        await deploy(world, 3)
        await world.run_nodes()
        await world.advance(30)
        assert await families(world) == {"orders:3": 2}


async def test_a_rollback_that_takes_too_long_has_failed():
    async with deployed(watched("errors", strategy="ROLLING"), desired=2) as world:
        await going_back(world)
        await world.advance(POLICY.stage_limit)
        found = await newest(world)
        assert (found.status, found.status_reason) == (
            "ROLLBACK_FAILED",
            "the user asked for it; and the rollback failed: the way back took too long",
        )


async def test_failures_of_the_source_from_before_do_not_count_as_the_rollback_s():
    async with deployed(watched("errors", strategy="ROLLING", breaker="rollback"), desired=2) as world:
        for _ in range(2):
            assert await fail(world, "orders:1") == 2
            await world.advance(20)
        await world.run_nodes()
        await going_back(world)
        assert await fail(world, "orders:1") == 2  # of three
        assert (await newest(world)).rollback.failures.failure_count == 2
        assert (await newest(world)).status == "ROLLBACK_IN_PROGRESS"
