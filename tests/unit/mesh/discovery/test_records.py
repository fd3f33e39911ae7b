"""Answers of Service Discovery: which records a name has, by services of Cloud Map, instances and tasks."""

import pytest

from tsunagu.mesh.discovery import catalogue, instances
from tsunagu.mesh.discovery.records import Audience, answer
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2

TASK, MACHINE = Audience.TASK, Audience.MACHINE
SERVICE = "corp.Internal/Users"


def namespace(name: str = "corp.Internal", kind: str = "DNS_PRIVATE", **more):
    return ids.make("Namespace", name, objects_pb2.Namespace(type=kind, **more))


def cloud_map_service(*types: str, policy: str = "MULTIVALUE", ttl: int = 10, name: str = SERVICE, **more):
    records = [objects_pb2.CloudMapDnsRecord(type=one, ttl=ttl) for one in types]
    config = objects_pb2.CloudMapDnsConfig(routing_policy=policy, dns_records=records)
    return ids.make("CloudMapService", name, objects_pb2.CloudMapService(dns_config=config, **more))


def by_hand(number: int, **attributes: str):
    given = {"AWS_INSTANCE_IPV4": f"10.0.0.{number}", "AWS_INSTANCE_PORT": "5432", **attributes}
    return ids.make("CloudMapInstance", f"{SERVICE}/vm-{number}", objects_pb2.CloudMapInstance(attributes=given))


def revision(port: int = 8080, service: str = SERVICE):
    body = objects_pb2.ServiceRevision(cluster="default", service="users")
    body.registrations.add(cloud_map_service=service, port=port)
    body.task_definition.family = "people"
    return ids.make("ServiceRevision", "default/users/abc", body)


def task(
    number: int, status: str = "RUNNING", health: str = "UNKNOWN", desired: str = "RUNNING", twin: int | None = 8080
):
    body = objects_pb2.Task()
    body.spec.cluster, body.spec.service, body.spec.service_revision = "default", "users", "default/users/abc"
    body.spec.desired_status = desired
    body.status.last_status, body.status.health_status, body.status.ip = status, health, f"10.88.0.{number}"
    if twin is not None:
        body.status.twin.ip = f"127.88.0.{number}"
        body.status.twin.ports.add(container_port=8080, protocol="tcp", port=twin)
    return ids.make("Task", f"default/users-{number}", body)


def state(*objects):
    found = {}
    for obj in (namespace(), revision(), *objects):
        found.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return found


def first(found, most):
    return found[:most]


def ask(objects, name: str, kind: str = "A", audience: Audience = TASK):
    return answer(catalogue.of_state(state(*objects)), (name, kind), audience, first)


def values(found):
    return [record.value for record in found.records]


def test_a_name_is_the_addresses_of_its_running_tasks_and_of_what_was_registered_by_hand():
    objects = cloud_map_service("A"), task(2), task(3, "ACTIVATING"), task(4, desired="STOPPED"), by_hand(9)
    found = ask(objects, "users.corp.internal")
    assert values(found) == ["10.88.0.2", "10.0.0.9"]
    assert {record.ttl for record in found.records} == {10}
    assert {told.instance.id: told.why for told in found.told} == {
        "users-2": "HEALTHY",
        "vm-9": "HEALTHY",
        "users-3": "it is ACTIVATING",
        "users-4": "it is to stop",
    }


def test_a_task_has_the_attributes_that_ecs_adds():
    (one,) = instances.of_tasks(SERVICE, [task(2)], {"default/users/abc": revision()})
    assert dict(one.attributes) == {
        "AWS_INSTANCE_IPV4": "10.88.0.2",
        "AWS_INSTANCE_PORT": "8080",
        "AVAILABILITY_ZONE": "us-east-1a",
        "REGION": "us-east-1",
        "ECS_CLUSTER_NAME": "default",
        "ECS_SERVICE_NAME": "users",
        "ECS_TASK_DEFINITION_FAMILY": "people",
        "AWS_INIT_HEALTH_STATUS": "HEALTHY",
    }


def test_the_machine_is_told_twins_and_their_ports():
    objects = cloud_map_service("A", "SRV"), task(2), task(3, twin=18080), task(4, twin=None)
    assert values(ask(objects, "users.corp.internal", "A", MACHINE)) == ["127.88.0.2", "127.88.0.3"]
    found = ask(objects, "users.corp.internal", "SRV", MACHINE)
    assert values(found) == ["1 1 8080 users-2.users.corp.internal.", "1 1 18080 users-3.users.corp.internal."]
    assert [(one.name, one.value) for one in found.additional] == [
        ("users-2.users.corp.internal", "127.88.0.2"),
        ("users-3.users.corp.internal", "127.88.0.3"),
    ]
    assert "it has no twin on this machine" in {told.why for told in found.told}


def test_what_listens_on_this_machine_has_another_address_for_tasks():
    objects = cloud_map_service("A"), by_hand(9, AWS_INSTANCE_IPV4="127.0.0.1")
    assert values(ask(objects, "users.corp.internal")) == ["169.254.88.1"]
    assert values(ask(objects, "users.corp.internal", "A", MACHINE)) == ["127.0.0.1"]


def test_multivalue_gives_eight_healthy_ones_and_weighted_one():
    tasks = [task(number) for number in range(2, 12)]
    assert len(values(ask((cloud_map_service("A"), *tasks), "users.corp.internal"))) == 8
    assert len(values(ask((cloud_map_service("A", policy="WEIGHTED"), *tasks), "users.corp.internal"))) == 1


def test_unhealthy_ones_are_given_only_when_all_are():
    service = cloud_map_service("A")
    assert values(ask((service, task(2), task(3, health="UNHEALTHY")), "users.corp.internal")) == ["10.88.0.2"]
    assert values(ask((service, task(3, health="UNHEALTHY")), "users.corp.internal")) == ["10.88.0.3"]
    sick = by_hand(9, AWS_INIT_HEALTH_STATUS="UNHEALTHY")
    assert values(ask((service, sick, by_hand(8)), "users.corp.internal")) == ["10.0.0.8"]


def test_an_instance_has_a_name_of_its_own_where_there_are_srv_records():
    assert values(ask((cloud_map_service("A", "SRV"), task(2)), "users-2.users.corp.internal")) == ["10.88.0.2"]
    assert not ask((cloud_map_service("A"), task(2)), "users-2.users.corp.internal").exists


def test_a_task_that_stops_keeps_its_own_name_until_it_has_ended():
    """Who was led to it a moment ago may ask where it is; it serves until the answer has expired."""
    leaving = task(1, desired="STOPPED")
    assert ask([cloud_map_service("A", "SRV"), leaving], "users.corp.internal", "SRV").records == ()
    found = ask([cloud_map_service("A", "SRV"), leaving], "users-1.users.corp.internal")
    assert [record.value for record in found.records] == ["10.88.0.1"]


@pytest.mark.parametrize(
    ("name", "kind", "exists"),
    [
        ("users.corp.internal", "AAAA", True),
        ("users.corp.internal", "SRV", True),
        ("corp.internal", "A", True),
        ("nobody.corp.internal", "A", False),
        ("a.b.corp.internal", "A", False),
    ],
)
def test_without_records_there_is_the_soa_whose_ttl_says_how_long_that_may_be_kept(name, kind, exists):
    found = ask((cloud_map_service("A"), task(2)), name, kind)
    assert (found.exists, found.records) == (exists, ())
    assert (found.soa.name, found.soa.ttl) == ("corp.internal", 15)


def test_a_namespace_may_say_how_long_a_name_that_is_not_there_is_kept():
    found = ask((namespace(soa_ttl=3),), "nobody.corp.internal")
    assert found.soa.ttl == 3
    assert found.soa.value.endswith(" 3")


def test_a_service_without_instances_has_a_name_and_no_record():
    assert (ask((cloud_map_service("A"),), "users.corp.internal").exists) is True


def test_a_cname_is_told_whatever_is_asked_for():
    objects = cloud_map_service("CNAME", policy="WEIGHTED"), by_hand(9, AWS_INSTANCE_CNAME="db.example.com")
    assert values(ask(objects, "users.corp.internal", "A")) == ["db.example.com."]


def test_the_zone_itself():
    assert values(ask((), "corp.internal", "NS")) == ["ns.corp.internal."]
    assert ask((), "corp.internal", "SOA").records[0].value.startswith("ns.corp.internal. hostmaster.corp.internal. ")


def test_a_name_with_a_dot_is_below_one_that_exists_without_records():
    objects = (cloud_map_service("A", name="corp.Internal/_http.users"), by_hand(9))
    assert ask(objects, "users.corp.internal").exists
    assert not ask(objects, "others.corp.internal").exists


@pytest.mark.parametrize("name", ["example.com", "internal", "corp.internal.example.com", "xcorp.internal", ""])
def test_other_names_are_not_the_mesh_s(name):
    assert ask((cloud_map_service("A"),), name) is None


def test_namespaces_without_dns_and_services_without_records_have_no_names():
    assert ask((namespace("corp.Internal", ""),), "users.corp.internal") is None
    assert not ask((cloud_map_service("A", type="HTTP"),), "users.corp.internal").exists


def test_the_longest_zone_has_a_name():
    inner = namespace("eu.corp.internal")
    service = cloud_map_service("A", name="eu.corp.internal/users")
    assert ask((inner, service), "users.eu.corp.internal").exists
    assert ask((inner, service), "nobody.eu.corp.internal").soa.name == "eu.corp.internal"
