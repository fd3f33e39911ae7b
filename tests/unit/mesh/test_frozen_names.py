"""`freeze: deployment`: a task sees the aliases that were born until its own deployment, whatever comes later."""

from tests.unit.mesh.test_view import changes, view_of
from tsunagu.testing import objects as o

FROZEN, LIVE = "default/web/f1", "default/load/l1"
ORDERS = "default/orders/a1"


def mesh(births, *more):
    port = o.port("orders", aliases=[("orders", 80), ("orders", 90)])
    return view_of(
        o.node(),
        *(o.service("default/orders", "a1"), o.revision(ORDERS, port)),
        *(o.service("default/web", "f1"), o.revision(FROZEN, frozen=True)),
        *(o.service("default/load", "l1"), o.revision(LIVE)),
        o.task("default/web-1", FROZEN, "10.9.0.2", deployment=5),
        o.task("default/web-2", FROZEN, "10.9.0.3", deployment=7),
        o.task("default/load-1", LIVE, "10.9.0.4", deployment=5),
        o.address("orders", "127.255.0.1", births=births),
        *more,
    )


def seen(view, task):
    return [alias.port for alias in view.aliases("shop") if view.visible(task, "orders", alias.port)]


def test_a_task_sees_what_was_born_until_its_deployment():
    view = mesh({80: 5, 90: 6})
    assert seen(view, "default/web-1") == [80]
    assert seen(view, "default/web-2") == [80, 90]
    assert seen(view, "default/load-1") == [80, 90]
    assert [view.names_until(f"default/{name}") for name in ("web-1", "web-2", "load-1")] == [5, 7, None]


def test_a_grpc_client_in_a_task_sees_what_its_task_sees_and_one_outside_is_live():
    view = mesh({80: 5})
    assert view.names_until("grpc/shop/default/web-1") == 5
    assert view.names_until("grpc/shop/billing") is None


def test_an_alias_is_not_there_before_it_is_known_when_it_was_born():
    view = mesh({80: 5})
    assert {alias.port: alias.ip for alias in view.aliases("shop")} == {80: "127.255.0.1", 90: ""}
    after, touched = view.apply(changes(o.address("orders", "127.255.0.1", births={80: 5, 90: 8})), 9)
    assert touched.aliases == {("shop", "orders", 80), ("shop", "orders", 90)}
    assert seen(after, "default/load-1") == [80, 90]
    assert seen(after, "default/web-2") == [80]


def test_in_a_registry_that_kept_no_births_every_name_was_always_there():
    assert seen(mesh({}), "default/web-1") == [80, 90]


def test_the_proxy_of_a_gateway_sees_live_names():
    assert mesh({80: 5}, o.gateway_task("default/front-1")).names_until("default/front-1") is None
