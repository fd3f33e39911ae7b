"""What `describe service` says beside the fields: names that are not seen, and what AWS would do otherwise."""

from types import SimpleNamespace

import pytest

from tsunagu.cli import differences
from tsunagu.model import ids
from tsunagu.v1 import ecs_pb2, objects_pb2

UNSEEN = (
    "its tasks would not see late0:80, which came after its deployment, before they are deployed anew "
    "(`freeze: deployment` of the Namespace is like that)"
)


def service(*, connects=True):
    request = ecs_pb2.CreateServiceRequest(service_name="web", task_definition="web:1")
    request.service_connect_configuration.enabled = connects
    request.service_connect_configuration.namespace = "shop"
    body = objects_pb2.Service(spec=request, status=objects_pb2.ServiceStatus(deployment=5))
    return ids.make("Service", "default/web", body)


class Registry:
    """A registry with one service, and names that came later than it."""

    def __init__(self, freeze="", late=1):
        request = ecs_pb2.RegisterTaskDefinitionRequest(family="web", network_mode="awsvpc")
        births = [
            objects_pb2.VirtualAddress(namespace="shop", dns_name=f"late{number}", births={80: 6})
            for number in range(late)
        ]
        self._objects = [
            ids.make("Namespace", "shop", objects_pb2.Namespace(freeze=freeze)),
            ids.make("TaskDefinition", "web:1", objects_pb2.TaskDefinition(spec=request, revision=1)),
            *(ids.make("VirtualAddress", f"shop/{one.dns_name}", one) for one in births),
        ]

    async def list(self, kind):
        return [obj for obj in self._objects if ids.kind_of(obj) == kind], 9


async def lines(obj, **registry):
    return await differences.of_service(SimpleNamespace(registry=Registry(**registry)), obj)


async def test_with_live_names_it_tells_what_the_tasks_would_not_see_in_aws():
    assert await lines(service()) == [
        "",
        "In AWS",
        f"  {UNSEEN}",
        "  taskDefinition: web:1 has no task-level memory: AWS would not start it with Service Connect; here it runs",
    ]


async def test_with_frozen_names_it_tells_what_the_tasks_do_not_see_and_how_they_would():
    found = await lines(service(), freeze="deployment")
    assert found[:3] == [
        "",
        "Names",
        "  its tasks do not see late0:80, which came after its deployment; tsunagu restart default/web",
    ]
    assert not any("would not see" in line for line in found)


@pytest.mark.parametrize(("late", "end"), [(8, "late6:80, late7:80, which"), (9, "late7:80 and 1 more, which")])
async def test_a_line_names_so_many_and_no_more(late, end):
    [line] = [line for line in await lines(service(), late=late) if "would not see" in line]
    assert end in line


async def test_of_a_service_without_service_connect_nothing_is_said():
    assert await lines(service(connects=False)) == []
