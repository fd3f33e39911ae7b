"""Who serves what, under which names, and who may see it."""

import pytest

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o

OLD, NEW = "default/orders/a1", "default/orders/b2"


def changes(*objects):
    return [(ids.kind_of(one), one.meta.name, None, one) for one in objects]


def view_of(*objects):
    return View.empty().apply(changes(*objects), 7)[0]


def gone(kind, name):
    return (kind, name, None, None)


def orders(*more, **states):
    task = o.task("default/orders-1", OLD, "10.9.0.2", **states)
    return view_of(o.node(), o.service("default/orders", "a1"), o.revision(OLD, o.port("orders")), task, *more)


SERVING = [
    ({}, True),
    ({"health_status": "HEALTHY"}, True),
    ({"health_status": "UNHEALTHY"}, False),
    ({"last_status": "ACTIVATING"}, False),
    ({"last_status": "DEACTIVATING"}, False),
    ({"desired_status": "STOPPED"}, False),
    ({"node": "n2"}, False),  # a node that is not there
]


@pytest.mark.parametrize(("states", "served"), SERVING, ids=str)
def test_a_task_is_an_endpoint_while_it_runs_is_wanted_not_unhealthy_and_on_a_living_node(states, served):
    assert orders(**states).endpoints("shop", "orders") == ((("10.9.0.2", 8080),) if served else ())


def test_a_node_takes_its_endpoints_with_it_and_brings_them_back():
    view = orders()
    down, touched = view.apply([gone("Node", "n1")], 8)
    assert down.endpoints("shop", "orders") == ()
    assert touched.endpoints == {("shop", "orders")}
    assert not touched.ports
    up, touched = down.apply(changes(o.node()), 9)
    assert up.endpoints("shop", "orders") == (("10.9.0.2", 8080),)
    assert touched.endpoints == {("shop", "orders")}


def test_an_overridden_ingress_port_is_the_endpoint():
    port = o.port("orders", intercept=False, ingress_port=8443)
    assert orders(o.revision(OLD, port)).endpoints("shop", "orders") == (("10.9.0.2", 8443),)


def test_endpoints_of_all_revisions_serve_and_are_sorted():
    view = orders(
        o.revision(NEW, o.port("orders", container_port=9090)),
        o.task("default/orders-2", NEW, "10.9.0.1"),
        o.task("default/orders-0", OLD, "10.9.0.3"),
    )
    assert view.endpoints("shop", "orders") == (("10.9.0.1", 9090), ("10.9.0.2", 8080), ("10.9.0.3", 8080))


def test_the_wanted_revision_defines_a_name_and_an_older_one_keeps_what_only_it_has():
    old = o.port("orders", aliases=[("orders", 80), ("legacy", 80)])
    new = o.port("orders", per_request_timeout_seconds=5)
    view = orders(o.revision(OLD, old), o.revision(NEW, new, created=5), o.service("default/orders", "b2"))
    assert (view.port("shop", "orders").revision, view.port("shop", "orders").row.request_timeout) == (NEW, 5)
    assert view.alias("shop", "orders", 80).revision == NEW
    assert view.alias("shop", "legacy", 80).revision == OLD
    after, touched = view.apply(changes(o.task("default/orders-1", OLD, "10.9.0.2", last_status="STOPPED")), 8)
    assert after.alias("shop", "legacy", 80) is None
    assert after.service_revision(OLD) is None
    assert ("shop", "legacy", 80) in touched.aliases


def test_a_change_of_the_wanted_revision_touches_the_names_of_both():
    view = orders(o.revision(NEW, o.port("orders")))
    _, touched = view.apply(changes(o.service("default/orders", "b2")), 8)
    assert touched.ports == {("shop", "orders")}
    assert touched.aliases == {("shop", "orders", 80)}
    assert touched.revisions == {NEW}


def test_a_revision_that_is_not_wanted_and_has_no_task_serves_nothing():
    view = view_of(o.revision(OLD, o.port("orders")), o.address("orders", "127.255.0.1"))
    assert view.ports("shop") == []
    assert view.aliases("shop") == []


def test_between_services_the_older_one_keeps_an_alias_while_it_wants_it():
    taken = o.port("thief", aliases=[("orders", 80)])
    view = orders(o.service("default/thief", "c3", created=9), o.revision("default/thief/c3", taken))
    assert view.alias("shop", "orders", 80).revision == OLD
    # Nobody wants the older one any more, only a task of it still runs.
    after, _ = view.apply([gone("Service", "default/orders")], 8)
    assert after.alias("shop", "orders", 80).revision == "default/thief/c3"


def test_an_alias_has_the_address_of_its_name_when_there_is_one():
    view = orders()
    assert view.alias("shop", "orders", 80).ip == ""
    after, touched = view.apply(changes(o.address("orders", "127.255.0.1")), 8)
    assert after.alias("shop", "orders", 80).ip == "127.255.0.1"
    assert touched.aliases == {("shop", "orders", 80)}
    assert after.addresses("shop") == {"orders": "127.255.0.1"}
    assert after.apply([gone("VirtualAddress", "shop/orders")], 9)[0].addresses("shop") == {}


def test_two_ports_under_one_name_have_one_address():
    ports = [o.port("web", aliases=[("api", 80)]), o.port("rpc", aliases=[("api", 9000)])]
    view = orders(o.revision(OLD, *ports), o.address("api", "127.255.0.1"))
    found = view.aliases("shop")
    assert [(alias.dns_name, alias.port, alias.ip, alias.row.discovery_name) for alias in found] == [
        ("api", 80, "127.255.0.1", "web"),
        ("api", 9000, "127.255.0.1", "rpc"),
    ]


def test_a_change_of_status_that_no_proxy_sees_touches_nothing():
    view = orders()
    again, touched = view.apply(changes(o.task("default/orders-1", OLD, "10.9.0.2", health_status="HEALTHY")), 8)
    assert not touched
    assert again.revision == 8
    assert again.tables.ports is view.tables.ports


def test_kinds_that_proxies_do_not_see_are_passed_over():
    _, touched = orders().apply([("Image", "x", None, None), ("Gateway", "front", None, None)], 8)
    assert not touched


SCOPES = [
    (o.task("default/orders-1", OLD, "10.9.0.2"), ("override/shop", "ns/shop", f"rev/{OLD}")),
    (o.task("default/orders-1", OLD, "", last_status="PENDING"), ("override/shop", "ns/shop", f"rev/{OLD}")),
    (o.task("default/orders-1", OLD, "", last_status=""), ("override/shop", "ns/shop", f"rev/{OLD}")),
    (o.task("default/orders-1", OLD, "10.9.0.2", last_status="STOPPED"), None),
    (o.task("default/orders-1", "default/orders/none", "10.9.0.2"), None),
    (o.gateway_task("default/orders-1"), ("override/shop", "gateway/front", "ns/shop")),
]


@pytest.mark.parametrize(("task", "scope"), SCOPES, ids=lambda one: str(one)[:60])
def test_a_proxy_sees_its_namespace_and_its_own_ingress(task, scope):
    assert view_of(o.revision(OLD, o.port("orders")), task).scope("default/orders-1") == scope


def test_a_revision_without_service_connect_has_no_proxy():
    plain = o.revision(OLD)
    plain.service_revision.connect = False
    view = orders(plain)
    assert view.scope("default/orders-1") is None
    assert view.expected_proxies() == []
    assert view.has_namespace("shop") is False


def test_the_barrier_waits_for_tasks_that_have_an_envoy():
    statuses = ["PROVISIONING", "PENDING", "RUNNING", "STOPPING", "DEPROVISIONING", "STOPPED"]
    tasks = [o.task(f"default/{status}", OLD, "10.9.0.2", last_status=status) for status in statuses]
    view = view_of(o.revision(OLD, o.port("orders")), *tasks, o.gateway_task("default/gate", "other"))
    shop = ["default/PENDING", "default/RUNNING", "default/STOPPING"]
    assert view.expected_proxies("shop") == shop
    assert view.expected_proxies() == [*shop[:2], "default/STOPPING", "default/gate"]
    assert view.expected_proxies("nowhere") == []


def test_a_namespace_is_there_while_anything_refers_to_it():
    view = view_of(o.gateway_task("default/gate"))
    assert view.namespaces() == ["shop"]
    after, touched = view.apply([gone("Task", "default/gate")], 8)
    assert after.namespaces() == []
    assert touched.namespaces == {"shop"}
    assert view_of(o.namespace("empty")).namespaces() == ["empty"]


def test_services_of_a_namespace_include_pure_clients():
    assert orders(o.service("default/load", "x"), o.revision("default/load/x")).services("shop") == [
        "default/load",
        "default/orders",
    ]
