"""Alarms over the registry and the samples: written when their state changes, and never OK by what is not known."""

from tests.unit.controllers.fleet import NAME, alarm, deploy, deployed, watched
from tests.unit.signals.specimens import inward
from tsunagu.controllers.alarms.evaluation import HEARD_WITHIN
from tsunagu.controllers.alarms.watch import AlarmWatch, mark_unknown
from tsunagu.signals.store import SignalStore
from tsunagu.v1 import signals_pb2


class Watched:
    """The alarms of a world, and what its tasks' Envoys tell."""

    def __init__(self, world):
        self.world = world
        self.begin()

    def begin(self):
        """The control plane starts: it knows nothing of the traffic."""
        self.store = SignalStore()
        self.watch = AlarmWatch(self.world.registry, self.world.informer, self.store, self.world.clock)

    async def hear(self, errors=0, requests=100):
        """Every RUNNING task tells what it has counted in the 10 s before now."""
        now = self.world.clock.now()
        for task in await self.world.tasks():
            if task.task.status.last_status != "RUNNING":
                continue
            spec = task.task.spec
            source = signals_pb2.Source(
                task=task.meta.name, cluster="default", service=spec.service, revision=spec.service_revision
            )
            flow = inward("orders", requests=requests, responses_2xx=requests - errors, responses_5xx=errors)
            new = signals_pb2.Reading(incarnation=str(now), time=now, flows=[flow], from_start=True, started=now - 10)
            self.store.accept(signals_pb2.TaskReadings(source=source, readings=[new], whole=True), now)

    async def look(self):
        await self.watch.look()
        await self.world.settle()

    async def state(self, name="errors"):
        found = await self.world.registry.get("Alarm", name)
        return found.alarm.status.state_value, found.alarm.status.deployment


async def to_the_canary(world):
    await deploy(world, bake=60.0)
    await world.run_nodes()


async def test_an_alarm_of_the_target_is_of_the_present_deployment():
    async with deployed(watched("errors")) as world:
        seen = Watched(world)
        await world.put(alarm("errors"))
        await world.settle()
        await seen.hear()
        await seen.look()
        assert await seen.state() == ("OK", (await world.service()).status.deployment)
        await to_the_canary(world)
        number = (await world.service()).status.deployment
        await seen.look()
        assert await seen.state() == ("INSUFFICIENT_DATA", number)
        await world.advance(10)
        await seen.hear(errors=10)
        await seen.look()
        assert await seen.state() == ("INSUFFICIENT_DATA", number)  # one bad period of three is neither good nor bad
        found = await world.registry.get("Alarm", "errors")
        found.alarm.spec.evaluation_periods = 1
        await world.registry.put(found)
        await world.settle()
        await seen.look()
        assert await seen.state() == ("ALARM", number)
        deployment = await world.registry.get("ServiceDeployment", f"{NAME}/{number}")
        assert deployment.service_deployment.status == "ROLLBACK_SUCCESSFUL"


async def test_a_state_is_written_only_when_it_changes():
    async with deployed(watched("errors")) as world:
        seen = Watched(world)
        await world.put(alarm("errors"))
        await world.settle()
        await seen.hear()
        await seen.look()
        revision = world.registry.revision
        for _ in range(5):
            await world.advance(2)
            await seen.hear(requests=150)
            await seen.look()
        assert world.registry.revision == revision


async def test_a_control_plane_that_has_started_takes_back_ok_and_says_nothing_until_it_has_heard_of_all_tasks():
    async with deployed(watched("errors")) as world:
        seen = Watched(world)
        treated = alarm("errors", of_target=False)
        treated.alarm.spec.treat_missing_data = "notBreaching"
        await world.put(treated)
        await world.settle()
        await seen.hear()
        await seen.look()
        assert await seen.state() == ("OK", 0)
        seen.begin()
        await mark_unknown(world.registry, world.clock.now())
        await world.settle()
        assert await seen.state() == ("INSUFFICIENT_DATA", 0)
        await seen.look()
        assert await seen.state() == ("INSUFFICIENT_DATA", 0)
        await seen.hear()
        await seen.look()
        assert await seen.state() == ("OK", 0)


async def test_after_a_while_what_was_not_heard_is_missing_as_the_user_says():
    async with deployed(watched("errors")) as world:
        seen = Watched(world)
        treated = alarm("errors", of_target=False)
        treated.alarm.spec.treat_missing_data = "breaching"
        await world.put(treated)
        await world.settle()
        await seen.look()
        assert await seen.state() == ("INSUFFICIENT_DATA", 0)
        await world.advance(HEARD_WITHIN)
        await seen.look()
        assert await seen.state() == ("ALARM", 0)


async def test_a_restart_takes_no_alarm_back():
    async with deployed(watched("errors")) as world:
        seen = Watched(world)
        await world.put(alarm("errors", "ALARM", of_target=False))
        await world.settle()
        await mark_unknown(world.registry, world.clock.now())
        await seen.look()
        assert await seen.state() == ("ALARM", 0)


async def test_an_alarm_of_a_service_that_is_not_there_says_so():
    async with deployed() as world:
        seen = Watched(world)
        found = alarm("errors")
        found.alarm.spec.dimensions[0].value = "order"
        await world.put(found)
        await world.settle()
        await seen.look()
        status = (await world.registry.get("Alarm", "errors")).alarm.status
        assert (status.state_value, status.state_reason) == (
            "INSUFFICIENT_DATA",
            "there is no service default/order",
        )


async def test_an_alarm_that_cannot_be_evaluated_keeps_no_other_from_it(capsys):
    async with deployed() as world:
        seen = Watched(world)
        broken = alarm("broken", of_target=False)
        broken.alarm.spec.metric_name = "of a later version"
        await world.put(broken, alarm("errors", of_target=False))
        await world.settle()
        await seen.hear()
        await seen.look()
        assert await seen.state("errors") == ("OK", 0)
    assert "cannot evaluate an alarm" in capsys.readouterr().out
