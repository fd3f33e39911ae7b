"""What gRPC clients see of the mesh: their namespace, with the bundle that Envoys do not have."""

import pytest

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o

WEB = "default/web/a1"
BOTH = ("override/shop", "grpc/shop", "ns/shop")


@pytest.fixture
def view():
    plain = o.revision("default/job/a1")
    plain.service_revision.connect = False
    found = [
        o.namespace(),
        o.namespace("blog"),
        o.revision(WEB, o.port("web")),
        plain,
        o.task("default/web-1", WEB, "10.9.0.2"),
        o.task("default/web-2", WEB, "10.9.0.3", last_status="STOPPED"),
        o.task("default/job-1", "default/job/a1", "10.9.0.4"),
        o.task("default/web-4", WEB, "10.9.0.5", zone="a"),
    ]
    return View.empty().apply([(ids.kind_of(one), one.meta.name, None, one) for one in found], 1)[0]


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("grpc/shop/billing", BOTH),
        ("grpc/blog/billing", ("override/blog", "grpc/blog", "ns/blog")),
        ("grpc/nowhere/billing", None),
        ("grpc/shop/default/web-1", BOTH),
        ("grpc/shop/default/web-4", ("override/shop", "grpc/shop", "zone/shop/a", "ns/shop")),
        ("grpc/blog/default/web-1", None),  # not of its namespace
        ("grpc/shop/default/web-2", None),  # stopped
        ("grpc/shop/default/web-3", None),
        ("grpc/shop/default/job-1", None),  # Service Connect is off
        ("default/web-1", ("override/shop", "ns/shop", f"rev/{WEB}")),
        ("default/web-4", ("override/shop", "zone/shop/a", "ns/shop", f"rev/{WEB}")),
    ],
)
def test_scopes(view, name, scope):
    assert view.scope(name) == scope


def test_nobody_waits_for_a_client_that_may_not_exist(view):
    assert view.expected_proxies() == ["default/web-1", "default/web-4"]
