"""Lifecycle hooks: at which stages each begins, what every kind of answer leads to, and what silence does."""

import pytest
from google.protobuf import json_format, struct_pb2

from tests.unit.controllers.fleet import configuration, deploy, deployed, families, newest, request, weights
from tsunagu.controllers.deployments import history
from tsunagu.model.deployments import lifecycle_hooks
from tsunagu.v1 import deployments_pb2, ecs_pb2

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:check"
MINUTE = 60.0
STAGES = (
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
)


def hook(*stages, pause=False, minutes=None, action=None, details=None):
    made = ecs_pb2.DeploymentLifecycleHook(lifecycle_stages=stages)
    if pause:
        made.target_type = "PAUSE"
    else:
        made.hook_target_arn = FUNCTION
    if minutes is not None:
        made.timeout_configuration.timeout_in_minutes = minutes
    if action:
        made.timeout_configuration.action = action
    if details is not None:
        json_format.ParseDict(details, made.hook_details)
    return made


def config(*hooks, strategy="BLUE_GREEN"):
    made = configuration(strategy, lifecycle_hooks=hooks)
    if strategy == "LINEAR":
        made.linear_configuration.step_percent = 50.0
    return made


async def waiting(world):
    return lifecycle_hooks.waited_for(await newest(world))


async def answer(world, status, *, index=0, **more):
    """What `serve` writes when a function has answered, and the command `deployment continue`."""
    found = history.newest_first(await world.all("ServiceDeployment"))[0]
    name = (await waiting(world))[index].hook_id

    def write(obj):
        told = next(one for one in obj.service_deployment.lifecycle_hooks if one.hook_id == name)
        told.answer.CopyFrom(deployments_pb2.HookAnswer(status=status, **more))

    await world.registry.update("ServiceDeployment", found.meta.name, write)
    await world.run_nodes()


async def begin(world, **more):
    await deploy(world, bake=0.0, **more)
    await world.run_nodes()


async def test_a_hook_holds_each_of_its_stages_until_it_has_succeeded():
    async with deployed(config(hook(*STAGES))) as world:
        await begin(world)
        seen = []
        for _ in STAGES:
            [held] = await waiting(world)
            seen.append((await newest(world)).lifecycle_stage)
            assert (held.status, held.lifecycle_stage, held.target_arn) == ("IN_PROGRESS", seen[-1], FUNCTION)
            await answer(world, "SUCCEEDED")
        assert tuple(seen) == STAGES
        assert (await newest(world)).status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("stage", "tasks", "share"),
    [
        ("PRE_SCALE_UP", {"orders:1": 2}, 0),
        ("POST_SCALE_UP", {"orders:1": 2, "orders:2": 2}, 0),
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", {"orders:1": 2, "orders:2": 2}, 0),
        ("PRODUCTION_TRAFFIC_SHIFT", {"orders:1": 2, "orders:2": 2}, 1000),
        ("POST_PRODUCTION_TRAFFIC_SHIFT", {"orders:1": 2, "orders:2": 2}, 1000),
    ],
)
async def test_what_runs_while_a_stage_is_held_is_that_of_the_stage(stage, tasks, share):
    async with deployed(config(hook(stage))) as world:
        await begin(world)
        await world.advance(3600)
        assert await families(world, healthy=True) == tasks
        assert (await weights(world))["orders:2"] == share
        assert (
            f"is in {stage}; it waits for hook check at {stage} (until 2027-" in (await world.service()).status.reason
        )


async def test_before_each_step_of_a_shift_and_at_each_the_hooks_are_called():
    async with deployed(
        config(hook("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"), strategy="LINEAR")
    ) as world:
        await begin(world)
        seen = []
        while (await newest(world)).status == "IN_PROGRESS":
            seen.append((await waiting(world))[0].hook_id)
            await answer(world, "SUCCEEDED")
        assert seen == [
            "PRE_PRODUCTION_TRAFFIC_SHIFT-0-0",
            "PRODUCTION_TRAFFIC_SHIFT-0-0",
            "PRE_PRODUCTION_TRAFFIC_SHIFT-1-0",
            "PRODUCTION_TRAFFIC_SHIFT-1-0",
        ]


async def test_the_service_is_reconciled_with_hooks_only_when_several_revisions_run():
    async with deployed(config(hook("RECONCILE_SERVICE"))) as world:
        await begin(world)
        assert (await newest(world)).status == "SUCCESSFUL"
        await deploy(world, 3, bake=MINUTE)
        await world.run_nodes()
        assert (await newest(world)).lifecycle_stage == "BAKE_TIME"
        await deploy(world, 1, bake=MINUTE)
        await world.run_nodes()
        assert [one.hook_id for one in await waiting(world)] == ["RECONCILE_SERVICE-0-0"]


async def test_a_deployment_that_shifts_nothing_calls_no_hook():
    async with deployed(config(hook(*STAGES), strategy="ROLLING")) as world:
        await begin(world)
        found = await newest(world)
        assert (found.status, len(found.lifecycle_hooks)) == ("SUCCESSFUL", 0)


async def test_a_stage_is_over_when_all_of_its_hooks_are():
    async with deployed(config(hook("POST_SCALE_UP"), hook("POST_SCALE_UP", pause=True))) as world:
        await begin(world)
        assert [one.status for one in await waiting(world)] == ["IN_PROGRESS", "AWAITING_ACTION"]
        await answer(world, "SUCCEEDED", index=1)
        assert [one.target_type for one in await waiting(world)] == ["AWS_LAMBDA"]
        await answer(world, "SUCCEEDED")
        assert (await newest(world)).status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("made", "given", "ends", "why"),
    [
        (hook("POST_SCALE_UP"), {"status": "SUCCEEDED"}, "SUCCESSFUL", ""),
        (hook("POST_SCALE_UP"), {"status": "FAILED"}, "ROLLBACK_SUCCESSFUL", "hook check at POST_SCALE_UP failed"),
        (
            hook("POST_SCALE_UP"),
            {"status": "FAILED", "reason": "it ended with exit code 3"},
            "ROLLBACK_SUCCESSFUL",
            "hook check at POST_SCALE_UP failed: it ended with exit code 3",
        ),
        (hook("POST_SCALE_UP", pause=True), {"status": "SUCCEEDED", "reason": "continued"}, "SUCCESSFUL", ""),
        (
            hook("POST_SCALE_UP", pause=True),
            {"status": "FAILED", "reason": "the user asked for it"},
            "ROLLBACK_SUCCESSFUL",
            "the PAUSE hook at POST_SCALE_UP failed: the user asked for it",
        ),
    ],
    ids=["succeeded", "failed", "failed and said why", "continued", "taken back"],
)
async def test_an_answer_leads_on_or_back(made, given, ends, why):
    async with deployed(config(made)) as world:
        await begin(world)
        await answer(world, given.pop("status"), **given)
        found = await newest(world)
        assert (found.status, found.status_reason) == (ends, why)
        assert lifecycle_hooks.waited_for(found) == []
        assert await families(world, healthy=True) == {"orders:2" if ends == "SUCCESSFUL" else "orders:1": 2}


@pytest.mark.parametrize(
    ("delay", "seconds"), [(None, 30), (5.0, 5), (600.0, 600), (0.0, 1)], ids=["default", "5", "600", "at once"]
)
async def test_a_function_that_is_in_progress_is_called_again_after_its_delay(delay, seconds):
    async with deployed(config(hook("POST_SCALE_UP", details={"bucket": "b"}))) as world:
        await begin(world)
        [first] = await waiting(world)
        assert json_format.MessageToDict(first.hook_details) == {"bucket": "b"}
        details = struct_pb2.Value()
        json_format.ParseDict({"turn": 1}, details)
        await answer(world, "IN_PROGRESS", call_back_delay=delay, hook_details=details)
        [second] = await waiting(world)
        assert (second.status, second.calls, second.HasField("answer")) == ("IN_PROGRESS", 1, False)
        assert second.call_at.ToSeconds() - world.clock.now() == seconds
        assert json_format.MessageToDict(second.hook_details) == {"turn": 1}
        assert second.expires_at == first.expires_at  # being asked again prolongs nothing


@pytest.mark.parametrize("pause", [False, True], ids=["a function", "a pause"])
@pytest.mark.parametrize(
    ("minutes", "action", "ends", "why"),
    [
        (None, None, "ROLLBACK_SUCCESSFUL", "timed out: it was not answered within 1440 minutes"),
        (2, None, "ROLLBACK_SUCCESSFUL", "timed out: it was not answered within 2 minutes"),
        (20160, "ROLLBACK", "ROLLBACK_SUCCESSFUL", "timed out: it was not answered within 20160 minutes"),
        (2, "CONTINUE", "SUCCESSFUL", ""),
    ],
)
async def test_silence_ends_with_the_timeout_and_its_action(pause, minutes, action, ends, why):
    async with deployed(config(hook("POST_SCALE_UP", pause=pause, minutes=minutes, action=action))) as world:
        await begin(world)
        limit = (1440 if minutes is None else minutes) * MINUTE
        await world.advance(limit - 1)
        assert (await newest(world)).status == "IN_PROGRESS"
        await world.advance(1)
        await world.run_nodes()
        found = await newest(world)
        assert found.status == ends
        assert found.lifecycle_hooks[0].status == "TIMED_OUT"
        assert found.status_reason.endswith(why)


async def test_the_time_of_a_hook_is_not_the_stages():
    """A stage may take 24 hours besides its hooks, which may take 14 days."""
    async with deployed(config(hook("PRE_PRODUCTION_TRAFFIC_SHIFT", pause=True, minutes=20160))) as world:
        await begin(world)
        await world.advance(3 * 86_400)
        assert (await newest(world)).status == "IN_PROGRESS"
        for task in await world.tasks(live=True):
            await world.report(task.meta.name, "STOPPED", stop_code="EssentialContainerExited")
        await world.settle()
        found = history.newest_first(await world.all("ServiceDeployment"))[0]
        found.service_deployment.lifecycle_hooks[0].answer.status = "SUCCEEDED"
        await world.registry.put(found)
        await world.settle()
        await world.advance(86_399)
        assert (await newest(world)).status == "IN_PROGRESS"
        await world.advance(1)
        assert (await newest(world)).status_reason == "PRE_PRODUCTION_TRAFFIC_SHIFT took too long"


@pytest.mark.parametrize(
    ("status", "ends"), [("ROLLBACK_REQUESTED", "ROLLBACK_SUCCESSFUL"), ("STOP_REQUESTED", "STOPPED")]
)
async def test_what_ends_a_deployment_ends_its_hooks(status, ends):
    async with deployed(config(hook("POST_SCALE_UP"))) as world:
        await begin(world)
        await request(world, status)
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.lifecycle_hooks[0].status) == (ends, "FAILED")
        assert not found.lifecycle_hooks[0].HasField("call_at")


async def test_events_tell_what_is_waited_for_and_how_it_ended():
    async with deployed(config(hook("POST_SCALE_UP", pause=True))) as world:
        await begin(world)
        await answer(world, "SUCCEEDED", reason="the user continued it")
        told = [event.message for event in (await world.service()).status.events]
        paused = "is paused at POST_SCALE_UP for `tsunagu deployment continue orders` (until 2027-"
        assert any(paused in one for one in told)
        assert any("the PAUSE hook at POST_SCALE_UP SUCCEEDED: the user continued it." in one for one in told)


async def test_a_record_keeps_the_newest_hooks_only():
    made = config(hook("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"), strategy="LINEAR")
    made.linear_configuration.step_percent = 3.0
    async with deployed(made) as world:
        await begin(world)
        while (await newest(world)).status == "IN_PROGRESS":
            await answer(world, "SUCCEEDED")
        kept = (await newest(world)).lifecycle_hooks
        assert len(kept) == 50
        assert kept[-1].hook_id == "PRODUCTION_TRAFFIC_SHIFT-33-0"


async def test_a_control_plane_that_ends_while_a_hook_is_waited_for_waits_on():
    async with deployed(config(hook("POST_SCALE_UP", pause=True, minutes=5))) as world:
        await begin(world)
        revision = world.registry.revision
        await world.stop()
        await world.start()
        await world.settle()
        assert world.registry.revision == revision
        await world.advance(5 * MINUTE)
        await world.run_nodes()
        assert (await newest(world)).status == "ROLLBACK_SUCCESSFUL"
