"""What Service Connect offers is seen in Cloud Map, and not edited there."""

import pytest

from tests.unit.aws.cloud import refused, register
from tests.unit.controllers import world as mesh
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


@pytest.fixture(scope="module")
def shop(cloud):
    """A namespace in which the service `orders` offers the name `web` through Service Connect, with two running tasks."""
    revision = mesh.service_revision(aliases=["web"])
    [port] = revision.service_revision.ports
    port.discovery_name, port.container_port, port.intercept = "web", 8080, True
    revision.service_revision.connect = True
    service = mesh.service(2, alias="web")
    service.service.status.revision = revision.meta.name
    node = ids.make("Node", "laptop", objects_pb2.Node(state="READY"))
    cloud.put(ids.make("Namespace", "shop", objects_pb2.Namespace()), node, service, revision)
    for number in (1, 2):
        task = objects_pb2.Task()
        task.spec.cluster, task.spec.service, task.spec.namespace = "default", "orders", "shop"
        task.spec.service_revision, task.spec.node, task.spec.desired_status = revision.meta.name, "laptop", "RUNNING"
        task.status.last_status, task.status.ip = "RUNNING", f"10.88.0.{number}"
        task.status.health_status = "UNHEALTHY" if number == 2 else "HEALTHY"
        cloud.put(ids.make("Task", f"default/orders-0000000{number}", task))
    return port.discovery_name


def test_what_service_connect_offers_is_shown(client, shop):
    [listed] = [one for one in client.list_services()["Services"] if one["Name"] == shop]
    assert listed["InstanceCount"] == 2
    assert client.get_service(Id=listed["Id"])["Service"]["Description"] == "Managed by Service Connect"
    [found] = client.discover_instances(NamespaceName="shop", ServiceName=shop)["Instances"]
    assert found["InstanceId"] == "orders-00000001"
    assert found["Attributes"]["AWS_INSTANCE_IPV4"] == "10.88.0.1"
    assert found["Attributes"]["ECS_SERVICE_NAME"] == "orders"
    everyone = client.discover_instances(NamespaceName="shop", ServiceName=shop, HealthStatus="ALL")["Instances"]
    assert {one["HealthStatus"] for one in everyone} == {"HEALTHY", "UNHEALTHY"}
    assert client.get_namespace(Id=client.get_service(Id=listed["Id"])["Service"]["NamespaceId"])


def test_what_service_connect_offers_is_not_edited(client, shop):
    [listed] = [one for one in client.list_services()["Services"] if one["Name"] == shop]
    known = listed["Id"]
    for code, edit in (
        ("InvalidInput", lambda: client.update_service(Id=known, Service={"Description": "mine"})),
        ("ResourceInUse", lambda: client.delete_service(Id=known)),
        ("ResourceInUse", lambda: register(client, known, "i-1")),
        ("ResourceInUse", lambda: client.deregister_instance(ServiceId=known, InstanceId="orders-00000001")),
        ("InvalidInput", lambda: client.update_service_attributes(ServiceId=known, Attributes={"a": "b"})),
        ("InvalidInput", lambda: client.tag_resource(ResourceARN=listed["Arn"], Tags=[{"Key": "a", "Value": "b"}])),
    ):
        with refused(code) as answer:
            edit()
        assert "Service Connect" in answer.message or "is a task" in answer.message
    with refused("ServiceAlreadyExists"):
        client.create_service(Name=shop, NamespaceId=client.get_service(Id=known)["Service"]["NamespaceId"])


def test_the_revision_grows_when_a_task_comes_or_goes(cloud, client, shop):
    def revision():
        return client.discover_instances_revision(NamespaceName="shop", ServiceName=shop)["InstancesRevision"]

    before = revision()
    task = objects_pb2.Object()
    task.CopyFrom(cloud.world.informer.get("Task", "default/orders-00000001"))
    task.task.status.last_status = "STOPPED" if task.task.status.last_status == "RUNNING" else "RUNNING"
    cloud.put(task)
    assert revision() > before
    task.task.status.last_status = "RUNNING"
    cloud.put(task)


def test_tasks_that_an_ecs_service_registers_are_instances_of_a_service_made_by_hand(cloud, client, name, owner):
    """Service Discovery: serviceRegistries of an ECS service name a service of Cloud Map."""
    revision = mesh.service_revision(f"default/{name}/one")
    revision.service_revision.registrations.add(cloud_map_service=f"{name}/api", port=8080)
    task = objects_pb2.Task()
    task.spec.cluster, task.spec.service, task.spec.service_revision = "default", name, revision.meta.name
    task.spec.desired_status = task.status.last_status = "RUNNING"
    task.status.ip = "10.88.1.1"
    cloud.put(revision, ids.make("Task", f"default/{name}-00000001", task))
    register(client, owner, "by-hand")
    found = client.discover_instances(NamespaceName=name, ServiceName="api")["Instances"]
    assert {one["InstanceId"] for one in found} == {"by-hand", f"{name}-00000001"}
    with refused("ResourceInUse") as answer:
        client.deregister_instance(ServiceId=owner, InstanceId=f"{name}-00000001")
    assert "is a task" in answer.message
    with refused("ResourceInUse"):
        client.delete_service(Id=owner)
