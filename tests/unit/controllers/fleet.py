"""A service that is deployed, for tests: a world with it at rest on its first task definition, and what one asks of it."""

from contextlib import asynccontextmanager

from tests.unit.controllers.world import World, node, service, task_definition
from tsunagu.controllers import task_state
from tsunagu.controllers.deployments import history
from tsunagu.model import ids
from tsunagu.v1 import alarms_pb2, ecs_pb2

NAME = "default/orders"


def configuration(strategy="", **more):
    """A deploymentConfiguration; `breaker` true: with rollback."""
    made = ecs_pb2.DeploymentConfiguration(strategy=strategy or None)
    if breaker := more.pop("breaker", None):
        made.deployment_circuit_breaker.enable = True
        made.deployment_circuit_breaker.rollback = breaker == "rollback"
    made.MergeFrom(ecs_pb2.DeploymentConfiguration(**more))
    return made


@asynccontextmanager
async def deployed(config=None, desired=2, nodes=(None,), *, start=True):
    """The world, with `desired` tasks of `orders:1` RUNNING; without `start` its service is `world.its_service`, to be put."""
    async with World() as world:
        await world.put(*(node(name or "one") for name in nodes), task_definition(1), task_definition(2))
        await world.put(task_definition(3))
        world.its_service = service(desired, alias="orders", deployment_configuration=config)
        if start:
            await world.put(world.its_service)
            await world.run_nodes()
        yield world


async def deploy(world, number=2, *, bake=None, strategy=""):
    """What `tsunagu deploy` and an apply write; the controllers have seen it."""

    def change(obj):
        obj.service.spec.task_definition = f"orders:{number}"
        if bake is not None:
            obj.service.next_deployment.bake_seconds = bake
        if strategy:
            obj.service.next_deployment.strategy = strategy

    await world.registry.update("Service", NAME, change)
    await world.settle()


async def deployments(world):
    """Bodies, newest first."""
    return [one.service_deployment for one in history.newest_first(await world.all("ServiceDeployment"))]


async def newest(world):
    return (await deployments(world))[0]


async def request(world, status):
    """What `tsunagu rollback` and `deployment stop` write."""
    [name, *_] = [one.meta.name for one in history.newest_first(await world.all("ServiceDeployment"))]

    def ask(obj):
        obj.service_deployment.status = status

    await world.registry.update("ServiceDeployment", name, ask)
    await world.settle()


async def families(world, *, healthy=False):
    """Task definitions of the live tasks: {"orders:1": 2}."""
    counted = {}
    revisions = {one.meta.name: one.service_revision.task_definition_name for one in await world.all("ServiceRevision")}
    for task in await world.tasks(live=True):
        if task_state.is_healthy(task) or not healthy:
            name = revisions[task.task.spec.service_revision]
            counted[name] = counted.get(name, 0) + 1
    return counted


async def weights(world):
    """Task definition -> tenths of a percent; empty: no weights."""
    revisions = {one.meta.name: one.service_revision.task_definition_name for one in await world.all("ServiceRevision")}
    status = (await world.service()).status
    return {revisions[one.revision]: one.weight for one in status.traffic.weights}


async def fail(world, family="orders:2"):
    """Every live task of that family ends by itself before it is RUNNING; how many."""
    revisions = {one.meta.name: one.service_revision.task_definition_name for one in await world.all("ServiceRevision")}
    dying = [
        task.meta.name for task in await world.tasks(live=True) if revisions[task.task.spec.service_revision] == family
    ]
    for name in dying:
        await world.report(name, "STOPPED", stop_code="TaskFailedToStart", stopped_reason="no such program: serve")
    await world.settle()
    return len(dying)


def watched(*names, rollback=True, strategy="CANARY", **more):
    """A deploymentConfiguration with alarms."""
    made = configuration(strategy, **more)
    made.alarms.alarm_names[:] = names
    made.alarms.enable, made.alarms.rollback = True, rollback
    return made


def alarm(name, value="", *, of_target=True, deployment=0, reason="ErrorRate was 12 %"):
    """An Alarm of `orders`, in that state for the deployment of that number."""
    body = alarms_pb2.Alarm()
    spec = body.spec
    spec.alarm_name, spec.metric_name, spec.statistic = name, "ErrorRate", "Average"
    spec.period, spec.evaluation_periods, spec.threshold = 10, 3, 5.0
    spec.comparison_operator = "GreaterThanThreshold"
    spec.dimensions.add(name="ServiceName", value="orders")
    if of_target:
        spec.dimensions.add(name="ServiceRevision", value="TARGET")
    body.status.state_value, body.status.state_reason, body.status.deployment = value, reason, deployment
    return ids.make("Alarm", name, body)
