"""What services and instances of Cloud Map mean, and which are refused."""

import pytest

from tsunagu.model import cloud_map, ids
from tsunagu.model.rules.validate import check, check_batch
from tsunagu.v1 import ecs_pb2, objects_pb2

NAMESPACE = ids.make("Namespace", "shop", objects_pb2.Namespace())
DNS_NAMESPACE = ids.make("Namespace", "shop.local", objects_pb2.Namespace(type="DNS_PRIVATE"))
SERVICE = ids.make("CloudMapService", "shop/mysql", objects_pb2.CloudMapService())
RECORDS = objects_pb2.CloudMapDnsConfig(dns_records=[objects_pb2.CloudMapDnsRecord(type="A", ttl=10)])
DNS_SERVICE = ids.make("CloudMapService", "shop.local/mysql", objects_pb2.CloudMapService(dns_config=RECORDS))
STATE = {
    "Namespace": {"shop": NAMESPACE, "shop.local": DNS_NAMESPACE},
    "CloudMapService": {"shop/mysql": SERVICE, "shop.local/mysql": DNS_SERVICE},
}


def service(name: str, **fields: object) -> objects_pb2.Object:
    return ids.make("CloudMapService", name, objects_pb2.CloudMapService(**fields))


def instance(name: str, **attributes: str) -> objects_pb2.Object:
    return ids.make("CloudMapInstance", name, objects_pb2.CloudMapInstance(attributes=attributes))


def messages(obj: objects_pb2.Object) -> list[str]:
    return [f"{one.path}: {one.message}" for one in check(obj, STATE)]


def test_an_id_that_nobody_gave_follows_from_the_name():
    assert cloud_map.namespace_id(NAMESPACE) == cloud_map.namespace_id(NAMESPACE)
    assert cloud_map.namespace_id(NAMESPACE).startswith("ns-")
    assert cloud_map.service_id(SERVICE) != cloud_map.service_id(DNS_SERVICE)


def test_the_id_of_an_arn_is_the_objects():
    named = ids.make("Namespace", "shop", objects_pb2.Namespace(arn="arn:aws:servicediscovery:x:1:namespace/ns-abc"))
    assert cloud_map.namespace_id(named) == "ns-abc"


@pytest.mark.parametrize(
    "reference",
    [
        "shop/mysql",
        cloud_map.service_id(SERVICE),
        f"arn:aws:servicediscovery:a:1:service/{cloud_map.service_id(SERVICE)}",
    ],
)
def test_a_service_is_found_by_name_id_and_arn(reference: str):
    assert cloud_map.service_named(reference, STATE) == "shop/mysql"


def test_a_service_that_is_not_there_is_not_found():
    assert cloud_map.service_named("shop/redis", STATE) == ""


def test_an_instances_name_is_split_at_its_id_which_may_have_slashes():
    assert ids.cloud_map_service_of("shop/mysql/a/b") == ("shop/mysql", "a/b")


@pytest.mark.parametrize(
    ("ip", "seen"), [("127.0.0.1", "169.254.88.1"), ("127.0.0.9", "169.254.88.9"), ("10.0.0.7", "10.0.0.7")]
)
def test_tasks_reach_this_machines_loopback_at_an_address_of_its_own(ip: str, seen: str):
    assert cloud_map.Address(ip, 1).from_tasks == seen


def test_an_instance_without_a_port_has_no_address():
    assert cloud_map.address_of({"AWS_INSTANCE_IPV4": "10.0.0.7"}) is None


@pytest.mark.parametrize(
    ("status", "initial", "healthy"),
    [("", "", True), ("", "UNHEALTHY", False), ("HEALTHY", "UNHEALTHY", True), ("UNHEALTHY", "", False)],
)
def test_the_custom_status_wins_over_the_initial_one(status: str, initial: str, healthy: bool):
    body = objects_pb2.CloudMapInstance(custom_health_status=status)
    if initial:
        body.attributes["AWS_INIT_HEALTH_STATUS"] = initial
    assert cloud_map.is_healthy(body) is healthy


@pytest.mark.parametrize(
    "obj",
    [
        service("shop/redis", app_protocol="http", aliases=[objects_pb2.Alias(dns_name="cache", port=6379)]),
        service("shop.local/redis", dns_config=RECORDS),
        instance("shop/mysql/db:1", AWS_INSTANCE_IPV4="127.0.0.1", AWS_INSTANCE_PORT="3306", engine="my sql"),
        instance("shop.local/mysql/1", AWS_INSTANCE_IPV4="10.0.0.1"),
        instance("shop/mysql/without-an-address"),
    ],
    ids=lambda obj: obj.meta.name,
)
def test_what_is_right_is_kept(obj: objects_pb2.Object):
    assert messages(obj) == []


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (service("nowhere/a"), "name: there is no namespace 'nowhere'"),
        (service("shop/-a"), "name: '-a' is not valid"),
        (service("shop/a", type="REST"), "type: 'REST' is not valid"),
        (service("shop/a", app_protocol="quic"), "appProtocol: 'quic' is not valid"),
        (service("shop/a", aliases=[objects_pb2.Alias(dns_name="a")]), "aliases[0]: an alias has a dnsName and a port"),
        (instance("shop/redis/1"), "name: there is no CloudMapService 'shop/redis'"),
        (instance("shop/mysql/a b"), "name: 'a b' is not valid"),
        (instance("shop/mysql/1", AWS_INSTANCE_PORT="0"), "AWS_INSTANCE_PORT: '0' is not a port"),
        (instance("shop/mysql/1", AWS_INSTANCE_IPV4="db.example"), "'db.example' is not an IPv4 address"),
        (instance("shop/mysql/1", AWS_INSTANCE_IPV4="127.1.0.1"), "tasks reach 127.0.0.1 to 127.0.0.255"),
        (instance("shop/mysql/1", AWS_INSTANCE_IPV4="169.254.88.1"), "register 127.0.0.N"),
        (instance("shop/mysql/1", AWS_INSTANCE_IPV4="0.0.0.0"), "the address of no machine"),
        (instance("shop/mysql/1", AWS_INSTANCE_IPV6="::g"), "'::g' is not an IPv6 address"),
        (instance("shop/mysql/1", AWS_INIT_HEALTH_STATUS="FINE"), "'FINE' is not valid"),
        (instance("shop/mysql/1", AWS_ALIAS_DNS_NAME="lb"), "names something of AWS's"),
        (instance("shop/mysql/1", **{f"k{n}": "v" for n in range(31)}), "there are 31 custom attributes"),
        (instance("shop/mysql/1", **{f"k{n}": "v" * 1000 for n in range(6)}), "characters together"),
        (instance("shop/mysql/1", key=" padded"), "attributes.key: is not valid"),
        (instance("shop.local/mysql/1"), "AWS_INSTANCE_IPV4 is missing: the service has A records"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(obj: objects_pb2.Object, said: str):
    assert any(said in message for message in messages(obj)), messages(obj)


@pytest.mark.parametrize(
    ("records", "policy", "said"),
    [
        (["MX"], "", "'MX' is not valid"),
        (["A", "A"], "", "a type is there twice"),
        (["CNAME"], "MULTIVALUE", "a CNAME record needs WEIGHTED"),
        (["CNAME", "A"], "WEIGHTED", "beside a CNAME record there is no other"),
        (["A"], "LATENCY", "'LATENCY' is not valid"),
    ],
)
def test_records_go_together_as_aws_has_them(records: list[str], policy: str, said: str):
    config = objects_pb2.CloudMapDnsConfig(
        routing_policy=policy, dns_records=[objects_pb2.CloudMapDnsRecord(type=kind, ttl=1) for kind in records]
    )
    assert any(said in message for message in messages(service("shop/a", dns_config=config)))


def test_a_namespace_with_services_and_a_service_with_instances_stay():
    state = {**STATE, "CloudMapInstance": {"shop/mysql/1": instance("shop/mysql/1")}}
    [namespace] = check_batch([], [("Namespace", "shop")], state)
    [held] = check_batch([], [("CloudMapService", "shop/mysql")], state)
    assert "CloudMapService shop/mysql needs it" in namespace.message
    assert "CloudMapInstance shop/mysql/1 needs it" in held.message


def test_a_service_has_no_name_that_service_connect_offers():
    state = dict(STATE)
    spec = ecs_pb2.CreateServiceRequest(service_name="web")
    spec.service_connect_configuration.enabled = True
    spec.service_connect_configuration.namespace = "shop"
    spec.service_connect_configuration.services.add(port_name="http", discovery_name="orders")
    state["Service"] = {"default/web": ids.make("Service", "default/web", objects_pb2.Service(spec=spec))}
    [issue] = check(service("shop/orders"), state)
    assert "already the discoveryName of service default/web" in issue.message
