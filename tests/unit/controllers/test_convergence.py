"""Whatever users, tasks, nodes and restarts do, in any order: the promises hold at each step and the end is right."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.controllers.fleet import alarm
from tests.unit.controllers.world import World, node, service, task_definition
from tsunagu.controllers import task_state
from tsunagu.controllers.deployments import history
from tsunagu.controllers.deployments.strategies import strategy_of
from tsunagu.controllers.services import rollout
from tsunagu.model.deployments import alarms, lifecycle_hooks
from tsunagu.model.statuses import Stage
from tsunagu.v1 import deployments_pb2

NAME = "default/orders"
ALARM = "errors"
ALIASES = ("orders", "checkout", "web")
NOT_HOOKED = {Stage.SCALE_UP, Stage.BAKE_TIME, Stage.CLEAN_UP}
HOOKED = [stage.value for stage in Stage if stage not in NOT_HOOKED]


def healthy(found):
    return [each for each in found if task_state.is_healthy(each)]


class Mesh(RuleBasedStateMachine):
    """One service on two nodes. Each rule is one disturbance, after which the controllers come to rest."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.definition = 1
        self.addresses = {}
        self.names = set()

    def run(self, coroutine):
        return self.runner.run(coroutine)

    async def enter(self):
        # One task enters and leaves the world: a TaskGroup wants it so.
        self.leave = asyncio.Event()
        entered = asyncio.Event()

        async def live():
            async with self.world:
                entered.set()
                await self.leave.wait()

        self.life = asyncio.ensure_future(live())
        await entered.wait()

    @initialize()
    def begin(self):
        self.run(self.enter())
        objects = (node("one"), node("two", capacity=6), task_definition(1), service(2, alias="orders"))
        self.run(self.world.put(*objects))
        self.run(self.world.settle())

    def teardown(self):
        if not hasattr(self, "life"):
            return
        try:
            self.run(self.come_to_rest())
        finally:
            self.leave.set()
            self.run(asyncio.wait_for(self.life, 60))
            self.runner.close()

    async def settle(self):
        """The controllers come to rest; what they stop never takes the healthy tasks below the minimum."""
        before = await self.healthy()
        await self.world.settle()
        present = await self.world.service()
        if present:
            assert await self.healthy() >= min(before, rollout.limits(present.spec).minimum)

    async def healthy(self):
        nodes = {each.meta.name for each in await self.world.all("Node")}
        return sum(each.task.spec.node in nodes for each in healthy(await self.world.tasks()))

    # What the user does.

    async def change(self, mutate):
        if await self.world.registry.get("Service", NAME):
            await self.world.registry.update("Service", NAME, mutate)
        await self.settle()

    @rule(desired=st.integers(0, 4), bounds=st.sampled_from([(100, 200), (50, 100), (0, 100), (100, 150), (50, 200)]))
    def scale(self, desired, bounds):
        def mutate(obj):
            spec = obj.service.spec
            spec.desired_count = desired
            spec.deployment_configuration.minimum_healthy_percent, spec.deployment_configuration.maximum_percent = (
                bounds
            )

        self.run(self.change(mutate))

    @rule(alias=st.sampled_from(ALIASES), known=st.sampled_from([True, True, True, False]))
    def deploy(self, alias, known):
        self.definition += known

        def mutate(obj):
            obj.service.spec.task_definition = f"orders:{self.definition if known else 999}"
            connect = obj.service.spec.service_connect_configuration
            connect.services[0].client_aliases[0].dns_name = alias

        self.run(self.world.put(task_definition(self.definition)))
        self.run(self.change(mutate))

    @rule(strategy=st.sampled_from(["", "BLUE_GREEN", "CANARY", "LINEAR"]), breaker=st.booleans())
    def choose_a_strategy(self, strategy, breaker):
        def mutate(obj):
            config = obj.service.spec.deployment_configuration
            config.strategy = strategy
            config.deployment_circuit_breaker.enable = config.deployment_circuit_breaker.rollback = breaker

        self.run(self.change(mutate))

    @rule(
        stages=st.lists(st.sampled_from(HOOKED), min_size=1, max_size=3),
        kind=st.sampled_from(["AWS_LAMBDA", "PAUSE"]),
        action=st.sampled_from(["CONTINUE", "ROLLBACK"]),
        minutes=st.sampled_from([1, 10, 60]),
    )
    def hook_some_stages(self, stages, kind, action, minutes):
        def mutate(obj):
            hooks = obj.service.spec.deployment_configuration.lifecycle_hooks
            del hooks[2:]
            made = hooks.add(lifecycle_stages=stages, target_type=kind, hook_target_arn="arn:aws:lambda:::function:f")
            made.timeout_configuration.timeout_in_minutes = minutes
            made.timeout_configuration.action = action

        self.run(self.change(mutate))

    @rule(
        answers=st.lists(st.sampled_from(["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "IN_PROGRESS", "FAILED"]), max_size=4)
    )
    def hooks_are_answered(self, answers):
        """By functions, and by the user who continues a pause or takes it back. What is not answered times out."""

        async def answer(status):
            found = await self.deployment()
            waited = lifecycle_hooks.waited_for(found.service_deployment) if found else []
            if waited and not (lifecycle_hooks.is_paused(waited[0]) and status == "IN_PROGRESS"):
                waited[0].answer.CopyFrom(deployments_pb2.HookAnswer(status=status))
                await self.world.registry.put(found)
            await self.settle()

        for status in answers:
            self.run(answer(status))

    @rule(enable=st.booleans(), rollback=st.booleans())
    def watch_by_alarms(self, enable, rollback):
        def mutate(obj):
            config = obj.service.spec.deployment_configuration.alarms
            config.alarm_names[:] = [ALARM]
            config.enable, config.rollback = enable, rollback

        self.run(self.change(mutate))

    @rule(value=st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA"]), of_target=st.booleans(), late=st.booleans())
    def the_alarm_says(self, value, of_target, late):
        """`late`: what was seen of an earlier deployment."""

        async def say():
            present = await self.world.service()
            number = present.status.deployment - late if present else 0
            await self.world.put(alarm(ALARM, value, of_target=of_target, deployment=number))
            await self.settle()

        self.run(say())

    @rule()
    def the_alarm_is_deleted(self):
        self.run(self.world.registry.delete("Alarm", ALARM))
        self.run(self.settle())

    @rule(status=st.sampled_from(["ROLLBACK_REQUESTED", "STOP_REQUESTED"]))
    def turn_the_deployment(self, status):
        async def ask():
            if (found := await self.deployment()) and found.service_deployment.status == "IN_PROGRESS":
                found.service_deployment.status = status
                await self.world.registry.put(found)
            await self.settle()

        self.run(ask())

    async def deployment(self):
        present = await self.world.service()
        return history.present(present, await self.world.all("ServiceDeployment")) if present else None

    @rule()
    def delete_or_create(self):
        present = self.run(self.world.service())
        if present:
            self.run(self.world.registry.delete("Service", NAME))
        else:
            self.run(self.world.put(service(2, alias="orders", definition=f"orders:{self.definition}")))
        self.run(self.settle())

    # What tasks and nodes do.

    async def disturb(self, pick, act):
        tasks = [each for each in await self.world.tasks() if not task_state.is_stopped(each)]
        alive = [each for each in tasks if await self.world.registry.get("Node", each.task.spec.node)]
        if alive:
            await act(alive[pick % len(alive)])
        await self.settle()

    @rule(picks=st.lists(st.integers(0, 9), min_size=1, max_size=6))
    def tasks_go_on(self, picks):
        for pick in picks:
            self.run(self.disturb(pick, self.world.step))

    @rule(pick=st.integers(0, 9))
    def a_task_dies(self, pick):
        async def die(obj):
            await self.world.report(obj.meta.name, "STOPPED", stop_code="EssentialContainerExited")

        self.run(self.disturb(pick, die))

    @rule(pick=st.integers(0, 9))
    def a_task_falls_ill(self, pick):
        async def fall_ill(obj):
            await self.world.report(obj.meta.name, health_status="UNHEALTHY")

        self.run(self.disturb(pick, fall_ill))

    @rule(name=st.sampled_from(["one", "two"]))
    def a_node_comes_or_goes(self, name):
        async def toggle():
            if await self.world.registry.get("Node", name):
                await self.world.registry.delete("Node", name)
            else:
                await self.world.put(node(name, capacity=6 if name == "two" else 0))
            await self.settle()

        self.run(toggle())

    @rule(seconds=st.sampled_from([1, 11, 60, 700, 4000]))
    def time_passes(self, seconds):
        self.run(self.world.advance(seconds))

    @rule()
    def the_controllers_restart(self):
        async def restart():
            revision = self.world.registry.revision
            await self.world.stop()
            await self.world.start()
            await self.world.settle()
            assert self.world.registry.revision == revision

        self.run(restart())

    @rule()
    @precondition(lambda self: self.run(self.world.service()))
    def a_rollout_keeps_the_minimum(self):
        """With nothing failing, from here to rest, step by step."""
        self.run(self.watch_rollout())

    async def watch_rollout(self):
        for _ in range(100):
            await self.settle()
            await self.check_counts()
            moved = [await self.world.step(each) for each in await self.world.tasks()]
            if not any(moved):
                return
        raise AssertionError("the rollout never ended")

    # What always holds.

    @invariant()
    def never_too_many(self):
        if not hasattr(self, "life"):
            return
        self.run(self.check_counts())

    async def check_counts(self):
        everything = await self.world.tasks()
        found = [each for each in everything if task_state.is_live(each)]
        names = {each.meta.name for each in everything}
        if names - self.names:  # it is when tasks are started that the maximum counts: desiredCount may sink later
            occupied = [each for each in everything if not task_state.is_ending(each)]
            shifts = any(
                strategy_of(one.service_deployment).shifts for one in await self.world.all("ServiceDeployment")
            )
            # Where revisions stand beside each other each has its own maximum: what was asked to end before counts for the old one.
            started = {each.task.spec.service_revision for each in everything if each.meta.name not in self.names}
            counts = Counter(each.task.spec.service_revision for each in occupied)
            most = max(counts[revision] for revision in started) if shifts else len(occupied)
            assert most <= rollout.limits((await self.world.service()).spec).maximum
        self.names |= names
        nodes = [each.meta.name for each in await self.world.all("Node")]
        assert {each.task.spec.node for each in found} <= set(nodes)
        self.world.informer.check_mutations()

    @invariant()
    def weights_add_up(self):
        present = self.run(self.world.service()) if hasattr(self, "life") else None
        if present and present.status.HasField("traffic"):
            assert sum(one.weight for one in present.status.traffic.weights) == 1000

    @invariant()
    def only_a_deployment_that_goes_on_waits_for_hooks(self):
        for one in self.run(self.world.all("ServiceDeployment")) if hasattr(self, "life") else []:
            body = one.service_deployment
            waited = lifecycle_hooks.waited_for(body)
            assert not waited or body.status == "IN_PROGRESS"
            assert all(hook.lifecycle_stage == body.lifecycle_stage for hook in waited)
            assert all(hook.status in {"IN_PROGRESS", "AWAITING_ACTION"} for hook in waited)

    @invariant()
    def no_deployment_goes_on_in_spite_of_an_alarm(self):
        body = self.run(self.present_body()) if hasattr(self, "life") else None
        if body and body.status == "IN_PROGRESS" and body.alarms.status == "MONITORING":
            watched = self.run(self.world.registry.get("Alarm", ALARM))
            number = self.run(self.world.service()).status.deployment
            assert watched is None or alarms.state(watched.alarm, number) != "ALARM"

    async def present_body(self):
        found = await self.deployment()
        return found.service_deployment if found else None

    @invariant()
    def addresses_are_unique_and_stable(self):
        if not hasattr(self, "life"):
            return
        found = {each.meta.name: each.virtual_address.ip for each in self.run(self.world.all("VirtualAddress"))}
        assert len(set(found.values())) == len(found)
        assert {name: found.get(name) for name in self.addresses} == self.addresses
        self.addresses = found

    # The end: all is mended, and time passes.

    async def come_to_rest(self):
        await self.world.put(node("one"), node("two", capacity=6), task_definition(self.definition))
        found = await self.deployment()
        if found and found.service_deployment.status in {"STOPPED", "ROLLBACK_FAILED"}:  # until the next deployment
            await self.world.registry.update("Service", NAME, force)
        for rounds in range(100):  # each step of LINEAR may wait for an hour for its hook
            present = await self.world.service()
            await self.world.put(alarm(ALARM, "OK", deployment=present.status.deployment if present else 0))
            await self.world.run_nodes()
            await self.world.advance(901)
            if rounds >= 12 and not await self.goes_on():
                break
        present = await self.world.service()
        live = await self.world.tasks(live=True)
        if present is None:
            assert await self.world.all("Task") == []
            assert await self.world.all("ServiceRevision") == []
            return
        status, revisions = present.status, {each.task.spec.service_revision for each in live}
        if "999" in present.spec.task_definition:
            assert "no task definition" in status.reason
            return
        assert len(healthy(live)) == len(live) == present.spec.desired_count
        if revisions - {status.revision}:
            limit = rollout.limits(present.spec)
            assert limit.minimum == limit.maximum
            assert "leave no room to replace a task" in status.reason
            return
        assert (status.running_count, status.pending_count, status.reason) == (len(live), 0, "")
        assert not status.HasField("traffic")
        assert (await self.deployment()).service_deployment.status in {"SUCCESSFUL", "ROLLBACK_SUCCESSFUL"}
        assert status.rollout_state == "COMPLETED"

    async def goes_on(self):
        """Whether a deployment of a definition that is there has not ended yet."""
        present, found = await self.world.service(), await self.deployment()
        known = present is not None and "999" not in present.spec.task_definition
        return known and found is not None and not history.is_over(found)


def force(obj):
    obj.service.forced_deployments += 1


TestMesh = Mesh.TestCase
TestMesh.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
