"""Instances that were registered by hand are endpoints like tasks, at addresses of their own."""

import pytest

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


def change(kind, name, body):
    obj = ids.make(kind, name, body) if body is not None else None
    if obj is not None:
        obj.meta.revision = obj.meta.created_revision = 3
    return kind, name, None, obj


def service(name="shop/mysql", **fields):
    return change("CloudMapService", name, objects_pb2.CloudMapService(**fields))


def instance(number=1, ip="10.0.0.1", port="3306", **attributes):
    given = {"AWS_INSTANCE_IPV4": ip, "AWS_INSTANCE_PORT": port, **attributes}
    return change("CloudMapInstance", f"shop/mysql/{number}", objects_pb2.CloudMapInstance(attributes=given))


def address(dns_name):
    body = objects_pb2.VirtualAddress(namespace="shop", dns_name=dns_name, ip="127.255.0.9", births={3306: 3})
    return change("VirtualAddress", f"shop/{dns_name}", body)


@pytest.fixture
def view():
    return View.empty().apply([service(), instance(), address("mysql")], 3)[0]


def test_instances_are_endpoints_of_their_service(view):
    assert view.endpoints("shop", "mysql") == (("10.0.0.1", 3306),)
    after, touched = view.apply([instance(2, port="3307")], 4)
    assert after.endpoints("shop", "mysql") == (("10.0.0.1", 3306), ("10.0.0.1", 3307))
    assert touched.endpoints == {("shop", "mysql")}


def test_tasks_call_them_by_name_at_their_port(view):
    assert [(alias.dns_name, alias.port) for alias in view.aliases("shop")] == [("mysql", 3306), ("mysql.shop", 3306)]
    found = view.alias("shop", "mysql", 3306)
    assert (found.ip, found.row.discovery_name, found.row.protocol) == ("127.255.0.9", "mysql", "tcp")


def test_a_service_says_protocol_and_aliases():
    aliases = [objects_pb2.Alias(dns_name="db", port=1)]
    view, _ = View.empty().apply([instance(), service(app_protocol="http", aliases=aliases)], 3)
    [alias] = view.aliases("shop")
    assert (alias.dns_name, alias.port, alias.row.protocol, alias.row.request_timeout) == ("db", 1, "http", 15)


def test_an_instance_of_this_machines_loopback_has_an_address_that_tasks_reach():
    view, _ = View.empty().apply([service(), instance(ip="127.0.0.1")], 3)
    assert view.endpoints("shop", "mysql") == (("169.254.88.1", 3306),)


def test_an_unhealthy_instance_gets_no_calls(view):
    after, _ = view.apply([instance(AWS_INIT_HEALTH_STATUS="UNHEALTHY")], 4)
    assert after.endpoints("shop", "mysql") == ()
    assert after.port("shop", "mysql") is not None


@pytest.mark.parametrize("gone", [("CloudMapInstance", "shop/mysql/1"), ("CloudMapService", "shop/mysql")])
def test_without_a_service_or_an_instance_there_is_no_name(view, gone):
    after, touched = view.apply([change(*gone, None)], 4)
    assert after.ports("shop") == after.aliases("shop") == []
    assert ("shop", "mysql", 3306) in touched.aliases


def test_an_instance_without_an_address_is_not_called():
    body = objects_pb2.CloudMapInstance(attributes={"key": "value"})
    view, _ = View.empty().apply([service(), change("CloudMapInstance", "shop/mysql/1", body)], 3)
    assert view.ports("shop") == []


def test_they_have_no_proxies_and_no_ingress(view):
    _, touched = View.empty().apply([service(), instance()], 3)
    assert view.expected_proxies() == []
    assert view.services("shop") == []
    assert touched.revisions == set()
