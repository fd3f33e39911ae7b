"""What is an alias's own knows when it was born; what all need was always there."""

from tests.unit.translate.test_bundles import ORDERS, Follower, change
from tsunagu.testing import objects as o
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

ALIAS = "alias/shop/orders:80"


def mesh(births):
    return Follower(
        [
            o.namespace(),
            o.node(),
            o.service("default/orders", "a1"),
            o.revision(ORDERS, o.port("orders", app_protocol="grpc", aliases=[("orders", 80), ("orders", 90)])),
            o.task("default/orders-1", ORDERS, "10.9.0.2"),
            o.address("orders", "127.255.0.1", births=births),
        ]
    )


def births(follower):
    return {(url, name): one.born for (_, url, name), one in follower.resources.items()}


def test_listeners_and_routes_of_an_alias_are_born_with_it_and_nothing_else_is():
    found = births(mesh({80: 5, 90: 7}))
    assert {key: born for key, born in found.items() if born} == {
        (LDS, ALIAS): 5,
        (RDS, ALIAS): 5,
        (LDS, "orders:80"): 5,  # as gRPC clients have it
        (RDS, "grpc/shop/orders:80"): 5,
        (LDS, "alias/shop/orders:90"): 7,
        (RDS, "alias/shop/orders:90"): 7,
        (LDS, "orders:90"): 7,
        (RDS, "grpc/shop/orders:90"): 7,
    }
    assert {(LDS, "capture"), (LDS, f"in/{ORDERS}/orders"), (CDS, "svc/shop/orders"), (EDS, "svc/shop/orders")} <= {
        key for key, born in found.items() if not born
    }


def test_an_alias_whose_birth_nobody_has_told_yet_has_no_listener():
    follower = mesh({80: 5})
    assert (LDS, "alias/shop/orders:90") not in births(follower)
    follower.apply([change(o.address("orders", "127.255.0.1", births={80: 5, 90: 7}))])
    assert births(follower)[LDS, "alias/shop/orders:90"] == 7


def test_a_name_that_is_born_again_has_the_same_bytes_and_another_birth():
    follower = mesh({80: 5, 90: 5})
    before = follower.resources["ns/shop", LDS, ALIAS]
    follower.apply([change(o.address("orders", "127.255.0.1", births={80: 9, 90: 5}))])
    after = follower.resources["ns/shop", LDS, ALIAS]
    assert (after.version, after.born) == (before.version, 9)
    assert births(follower)[LDS, "alias/shop/orders:90"] == 5
