"""Which way tasks speak with each other: what follows from a mode, and from what tasks say of themselves."""

import pytest

from tsunagu.mesh import tls
from tsunagu.mesh.traffic.model import Destination
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate import endpoints

ORDERS = "default/orders/a1"
PLAIN, SECURED = ("10.9.0.2", 8080), ("10.9.0.2", 15400)
PEER = "spiffe://tsunagu.local/ns/shop/cluster/default/service/orders"


def mesh(mode="", *tasks, strict=False):
    port = o.port("orders")
    if strict:
        port.tls.SetInParent()
    namespace = o.namespace()
    namespace.namespace.tls = mode
    found = [namespace, o.node(), o.service("default/orders", "a1"), o.revision(ORDERS, port)]
    return applied(View.empty(), *found, *(tasks or [task()]))


def applied(view, *objects):
    return view.apply([(ids.kind_of(one), one.meta.name, None, one) for one in objects], view.revision + 1)[0]


def task(*, ready=False, alone=False, ip="10.9.0.2", **states):
    made = o.task(f"default/orders-{ip[-1]}", ORDERS, ip, **states)
    made.task.status.tls.ready.extend(["orders"] if ready else [])
    made.task.status.tls.alone.extend(["orders"] if alone else [])
    return made


def ends(view, *, secured):
    """(endpoint, whether TLS is spoken there) of all."""
    localities = view.localities("shop", Destination("orders"), secured=secured)
    return [(end, end in one.tls) for one in localities for end in one.endpoints]


def ingresses(view):
    revision = view.service_revision(ORDERS)
    found = tls.ingresses(view.tables, revision, revision.ports[0])
    return found.plain, found.tls


def test_a_mesh_without_tls_has_nothing_of_it():
    view = mesh()
    assert not view.secured("shop", "orders")
    assert view.peers("shop", "orders") == ()
    assert ingresses(view) == (True, False)
    assert tls.trusted(view.tables, "shop") is None


@pytest.mark.parametrize(
    ("mode", "says", "listens", "speaks"),
    [
        ("permissive", {}, (True, True), True),
        ("permissive", {"ready": True}, (True, True), True),
        ("strict", {"ready": True}, (True, True), True),  # somebody may still be connected to the plain ingress
        ("strict", {"ready": True, "alone": True}, (False, True), True),
        ("strict", {"last_status": "ACTIVATING"}, (False, True), True),  # nobody was ever led to it
        ("strict", {"last_status": "DEACTIVATING", "ready": True}, (True, True), True),
        ("permissive", {"ready": True, "alone": True}, (True, True), True),  # on the way back
        ("off", {"ready": True, "alone": True}, (True, True), True),  # callers have nothing else yet
        ("off", {"ready": True}, (True, True), False),
        ("off", {}, (True, False), False),
    ],
)
def test_modes_and_what_tasks_say(mode, says, listens, speaks):
    view = mesh(mode, task(**says))
    assert (ingresses(view), view.peers("shop", "orders")) == (listens, (PEER,) if speaks else ())


def test_a_task_is_led_to_over_tls_once_it_is_ready_by_those_that_can_speak_it():
    before, after, alone = (mesh("permissive", task(**says)) for says in ({}, {"ready": True}, BOTH))
    assert [ends(view, secured=True) for view in (before, after, alone)] == [
        [(PLAIN, False)],
        [(SECURED, True)],
        [(SECURED, True)],
    ]
    assert [ends(view, secured=False) for view in (before, after, alone)] == [[(PLAIN, False)], [(PLAIN, False)], []]


BOTH = {"ready": True, "alone": True}


def test_a_zone_is_preferred_by_each_kind_of_callers_as_they_see_its_tasks():
    tasks = [
        task(**BOTH, zone="a"),
        task(**BOTH, ip="10.9.0.3", zone="b"),
        task(ready=True, ip="10.9.0.4", zone="c"),
    ]
    view = applied(mesh("strict", *tasks), o.node(zones=["a", "b", "c"]))
    inputs = {
        secured: [endpoints.inputs(view, "shop", Destination("orders"), zone, secured=secured) for zone in "abc"]
        for secured in (True, False)
    }
    assert [locality.zone for found in inputs[True] for locality in found if locality.priority == 0] == ["a", "b", "c"]
    assert inputs[False] == [None, None, None]  # they see the last one alone, in whatever zone they are


def test_the_plain_ingress_stays_for_the_last_task_that_needs_it():
    view = mesh("strict", task(**BOTH), task(ready=True, ip="10.9.0.3"))
    assert ingresses(view) == (True, True)
    assert ingresses(applied(view, task(**BOTH, ip="10.9.0.3"))) == (False, True)
    assert ingresses(applied(view, task(ip="10.9.0.3", last_status="STOPPED"))) == (False, True)


def test_a_service_with_tls_is_strict_by_itself():
    view = mesh("off", task(**BOTH), strict=True)
    assert (ingresses(view), view.peers("shop", "orders")) == ((False, True), (PEER,))
    assert tls.trusted(view.tables, "shop") == ""


def test_a_mode_touches_the_namespace_with_all_that_it_serves():
    view = mesh("off")
    namespace = o.namespace()
    namespace.namespace.tls = "permissive"
    _, touched = view.apply([("Namespace", "shop", None, namespace)], 2)
    assert touched.namespaces == {"shop"}
    assert (touched.ports, touched.revisions) == ({("shop", "orders")}, {ORDERS})
    assert touched.aliases == {("shop", "orders", 80)}


def test_what_a_task_says_touches_its_revision_and_its_names():
    view = mesh("permissive")
    _, touched = view.apply([("Task", "default/orders-2", None, task(ready=True))], 2)
    assert (touched.ports, touched.endpoints, touched.revisions) == (
        {("shop", "orders")},
        {("shop", "orders")},
        {ORDERS},
    )
