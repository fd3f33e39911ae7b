"""SPIFFE IDs follow from the registry; a prefix ends where a name ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.model import identities
from tsunagu.model.rules.constraints import NAMESPACE_NAME
from tsunagu.v1 import objects_pb2

DOMAIN = "tsunagu.local"
ORDERS = objects_pb2.TaskSpec(namespace="shop", cluster="default", service="orders")


@pytest.mark.parametrize(
    ("spec", "identity"),
    [
        (ORDERS, "spiffe://tsunagu.local/ns/shop/cluster/default/service/orders"),
        (
            objects_pb2.TaskSpec(cluster="default", service="orders"),
            "spiffe://tsunagu.local/ns/-/cluster/default/service/orders",
        ),
        (
            objects_pb2.TaskSpec(namespace="shop", cluster="default"),
            "spiffe://tsunagu.local/ns/shop/cluster/default/task/batch",
        ),
        (
            objects_pb2.TaskSpec(namespace="shop", cluster="default", gateway="edge"),
            "spiffe://tsunagu.local/ns/shop/gateway/edge",
        ),
        (
            objects_pb2.TaskSpec(namespace="shop", cluster="default", service="connect-1", node="n1", host=True),
            "spiffe://tsunagu.local/ns/shop/host/n1",
        ),
    ],
)
def test_a_task_is_who_the_registry_says(spec, identity):
    assert str(identities.of_task(DOMAIN, spec, "batch")) == identity
    assert identities.parse(identity) == identities.of_task(DOMAIN, spec, "batch")


def test_a_machine_is_one_of_each_namespace():
    assert str(identities.of_host("a.example", "shop", "local")) == "spiffe://a.example/ns/shop/host/local"


def test_no_namespace_can_be_called_like_none():
    assert not NAMESPACE_NAME.expression.fullmatch(identities.NO_NAMESPACE)


@pytest.mark.parametrize(
    ("prefix", "admitted"),
    [
        ("spiffe://tsunagu.local/ns/shop/cluster/default/service/orders", True),
        ("spiffe://tsunagu.local/ns/shop/cluster/default/service/orders/", True),
        ("spiffe://tsunagu.local/ns/shop/cluster/default/service/ord", False),
        ("spiffe://tsunagu.local/ns/shop/cluster/default/service/orders-2", False),
        ("spiffe://tsunagu.local/ns/shop/cluster/default", True),
        ("spiffe://tsunagu.local/ns/shop/", True),
        ("spiffe://tsunagu.local/ns/sho", False),
        ("spiffe://tsunagu.local", True),
        ("spiffe://tsunagu.loc", False),
        ("spiffe://other.local/ns/shop", False),
        ("", False),
        ("/", False),
    ],
)
def test_a_prefix_ends_where_a_name_ends(prefix, admitted):
    assert identities.admits(prefix, str(identities.of_task(DOMAIN, ORDERS, ""))) is admitted


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True)


@given(NAMES, NAMES, NAMES, NAMES)
def test_who_is_admitted_to_one_service_is_of_that_service(one, other, cluster, namespace):
    mine = str(identities.of_service(DOMAIN, namespace, cluster, one))
    theirs = str(identities.of_service(DOMAIN, namespace, cluster, other))
    assert identities.admits(mine, theirs) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://tsunagu.local/ns/shop",
        "spiffe://",
        "spiffe://Upper.case/ns/shop",
        "spiffe://tsunagu.local/",
        "spiffe://tsunagu.local/ns//x",
        "spiffe://tsunagu.local/ns/../x",
        "spiffe://tsunagu.local/ns/sh op",
        "spiffe://tsunagu.local/ns/%41",
        "spiffe://tsunagu.local/" + "x" * 2048,
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(identities.BadIdentity):
        identities.parse(text)


@pytest.mark.parametrize(("namespace", "name"), [("a/b", "x"), ("..", "x"), ("shop", ""), ("shop", "a b")])
def test_a_name_that_would_change_the_path_makes_no_id(namespace, name):
    with pytest.raises(identities.BadIdentity):
        identities.of_gateway(DOMAIN, namespace, name)
