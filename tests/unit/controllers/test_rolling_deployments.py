"""Deployments that replace tasks: what begins one, how each ends, and the circuit breaker."""

import pytest

from tests.unit.controllers.fleet import (
    NAME,
    configuration,
    deploy,
    deployed,
    deployments,
    fail,
    families,
    newest,
    request,
)
from tests.unit.controllers.world import POLICY, service
from tsunagu.controllers.deployments.breaker import threshold
from tsunagu.v1 import ecs_pb2


async def test_a_service_begins_with_a_deployment_that_is_completed_when_its_tasks_run():
    async with deployed() as world:
        [first] = await deployments(world)
        assert (first.status, first.source_revision, first.circuit_breaker.status) == ("SUCCESSFUL", "", "DISABLED")
        assert first.target_revision == (await world.service()).status.revision
        assert first.finished_at.seconds


def scale(spec):
    spec.desired_count = 3


def percentages(spec):
    spec.deployment_configuration.maximum_percent = 150


def network(spec):
    spec.network_configuration.awsvpc_configuration.subnets.append("subnet-2")


def timeouts(spec):
    spec.service_connect_configuration.services[0].timeout.per_request_timeout_seconds = 3


def balancers(spec):
    spec.load_balancers.add(target_group_arn="tg", container_name="app", container_port=8080)


@pytest.mark.parametrize(
    ("change", "begins"),
    [(scale, False), (percentages, False), (network, True), (timeouts, True), (balancers, True)],
    ids=["desiredCount", "deploymentConfiguration", "networkConfiguration", "serviceConnect", "loadBalancers"],
)
async def test_what_begins_a_deployment_is_what_begins_one_on_aws(change, begins):
    async with deployed() as world:
        await world.registry.update("Service", NAME, lambda obj: change(obj.service.spec))
        await world.run_nodes()
        assert len(await deployments(world)) == 1 + begins


async def test_a_rolling_deployment_adds_no_commit_to_those_of_its_tasks():
    async with deployed() as world:
        before = world.registry.revision
        await deploy(world)
        await world.run_nodes()
        events = [item async for item in changes(world, before)]
        with_deployment = [kinds for kinds in events if "ServiceDeployment" in kinds]
        assert [kinds for kinds in with_deployment if "Service" not in kinds] == []
        assert len(with_deployment) == 2  # its begin and its end
        assert (await newest(world)).status == "SUCCESSFUL"


async def changes(world, after):
    """The kinds of each commit after that revision."""
    async for revision, events in world.registry.watch(after=after):
        yield {obj.WhichOneof("body").title().replace("_", "") for obj, _ in events}
        if revision >= world.registry.revision:
            return


async def test_where_nothing_shifts_no_bake_time_is_waited_for():
    async with deployed(configuration("BLUE_GREEN", bake_time_in_minutes=5)) as world:
        [first] = await deployments(world)
        assert first.status == "SUCCESSFUL"
        await deploy(world, strategy="ROLLING")
        await world.run_nodes()
        assert (await newest(world)).status == "SUCCESSFUL"


async def test_a_deployment_that_is_overtaken_stops_and_says_by_which():
    async with deployed() as world:
        await deploy(world, 2)
        await deploy(world, 3)
        await world.run_nodes()
        third, second, first = await deployments(world)
        assert (third.status, second.status, first.status) == ("SUCCESSFUL", "STOPPED", "SUCCESSFUL")
        assert "has overtaken it" in second.status_reason
        assert third.source_revision == first.target_revision  # the last that was completed
        assert await families(world) == {"orders:3": 2}


async def test_history_is_bounded_and_the_last_completed_one_stays():
    async with deployed() as world:
        for number in range(POLICY.deployments_kept + 5):
            await deploy(world, 2 + number % 2)
        found = await deployments(world)
        assert len(found) <= POLICY.deployments_kept + 2
        assert found[-1].status == "SUCCESSFUL"


async def test_a_deleted_service_takes_its_deployments_along():
    async with deployed() as world:
        await world.registry.delete("Service", NAME)
        await world.run_nodes()
        assert await world.all("ServiceDeployment") == []


async def test_early_success_criteria_complete_a_deployment_before_all_tasks_are_up():
    config = configuration(minimum_healthy_percent=50)
    config.early_success_criteria.enable = True
    config.early_success_criteria.healthy_percent = 50
    async with deployed(config) as world:
        await deploy(world)
        [one, _] = [task for task in await world.tasks(live=True) if task.task.status.last_status == ""]
        await world.report(one.meta.name, "RUNNING")
        await world.settle()
        assert (await newest(world)).status == "SUCCESSFUL"
        assert await families(world) == {"orders:2": 2}


# -- the circuit breaker ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired", "kind", "value", "tasks"),
    [
        (1, None, None, 3),
        (25, None, None, 13),
        (400, None, None, 200),
        (800, None, None, 200),
        (25, "COUNT", 7, 7),
        (10, "BOUNDED_PERCENT", 80, 8),
        (800, "UNBOUNDED_PERCENT", 50, 400),
        (1, "UNBOUNDED_PERCENT", 50, 1),
    ],
)
def test_the_threshold_is_that_of_aws(desired, kind, value, tasks):
    config = ecs_pb2.DeploymentCircuitBreaker(enable=True, rollback=True)
    if kind:
        config.threshold_configuration.type = kind
        config.threshold_configuration.value = value
    assert threshold(config, desired) == tasks


async def run_until_it_ends(world, rounds=12):
    """Tasks of orders:2 fail as soon as they are there, and the others live; how many failed until the deployment turned."""
    failed = 0
    for _ in range(rounds):
        if (await newest(world)).status != "IN_PROGRESS":
            break
        failed += await fail(world)
        await world.advance(60)
    await world.run_nodes()
    return failed


async def test_a_version_that_never_starts_is_rolled_back_at_the_threshold():
    async with deployed(configuration(breaker="rollback"), desired=1) as world:
        await deploy(world)
        assert await run_until_it_ends(world) == 3
        found = await newest(world)
        assert (found.status, found.circuit_breaker.status) == ("ROLLBACK_SUCCESSFUL", "TRIGGERED")
        assert (found.circuit_breaker.failure_count, found.circuit_breaker.threshold) == (3, 3)
        assert found.status_reason.startswith("the deployment circuit breaker was triggered: 3 tasks in a row failed")
        assert found.status_reason.endswith("no such program: serve")
        assert await families(world, healthy=True) == {"orders:1": 1}
        assert (await world.service()).status.rollout_state == "COMPLETED"


async def test_after_a_rollback_the_same_version_begins_again_only_when_it_is_forced():
    async with deployed(configuration(breaker="rollback"), desired=1) as world:
        await deploy(world)
        await run_until_it_ends(world)
        await deploy(world, 2)  # as an apply of the same manifest
        await world.run_nodes()
        assert len(await deployments(world)) == 2
        assert await families(world) == {"orders:1": 1}

        def force(obj):
            obj.service.forced_deployments += 1

        await world.registry.update("Service", NAME, force)
        await world.run_nodes()
        assert (await newest(world)).status == "SUCCESSFUL"
        assert await families(world) == {"orders:2": 1}


async def test_without_rollback_a_deployment_fails_and_starts_nothing_more():
    async with deployed(configuration(breaker="stop"), desired=1) as world:
        await deploy(world)
        assert await run_until_it_ends(world) == 3
        await world.advance(4000)
        status = (await world.service()).status
        assert (status.rollout_state, (await newest(world)).status) == ("FAILED", "STOPPED")
        assert "was stopped: the deployment circuit breaker was triggered" in status.reason
        assert await families(world) == {"orders:1": 1}


async def test_the_first_deployment_has_nothing_to_go_back_to():
    async with deployed(configuration(breaker="rollback"), desired=0) as world:
        await world.registry.delete("Service", NAME)
        await world.run_nodes()
        await world.put(service(1, deployment_configuration=configuration(breaker="rollback")))
        for _ in range(6):
            await world.settle()
            await fail(world, "orders:1")
            await world.advance(60)
        found = await newest(world)
        assert found.status == "STOPPED"
        assert found.status_reason.endswith("there is no completed deployment to go back to")


async def test_a_task_that_is_seen_healthy_ends_the_row_of_failures():
    async with deployed(configuration(breaker="rollback"), desired=2) as world:
        await deploy(world)
        assert await fail(world) == 2
        await world.advance(60)
        [one, _] = [task for task in await world.tasks(live=True) if task.task.status.last_status == ""]
        await world.report(one.meta.name, "RUNNING")
        await world.settle()
        assert (await newest(world)).circuit_breaker.failure_count == 0


async def test_a_failure_is_counted_once_whatever_restarts():
    async with deployed(configuration(breaker="rollback"), desired=1) as world:
        await deploy(world)
        await fail(world)
        for _ in range(3):
            await world.stop()
            await world.start()
            await world.settle()
        assert (await newest(world)).circuit_breaker.failure_count == 1


async def test_a_user_takes_a_deployment_back():
    async with deployed() as world:
        await deploy(world)
        await request(world, "ROLLBACK_REQUESTED")
        await world.run_nodes()
        found = await newest(world)
        assert (found.status, found.status_reason) == ("ROLLBACK_SUCCESSFUL", "the user asked for it")
        assert await families(world) == {"orders:1": 2}
