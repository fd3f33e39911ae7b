"""Aliases as gRPC's own clients see them: only those they can speak to, nothing they refuse, a bundle of their own."""

from collections import defaultdict

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.xds.bodies import grpc_rules
from tsunagu.xds.bodies.references import references
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

API = "default/api/a1"


def change(one):
    return (ids.kind_of(one), one.meta.name, None, one)


def mesh(*more):
    ports = [
        o.port(name, app_protocol=name, container_port=8000 + index, ingress_port=15100 + index, aliases=[(name, 80)])
        for index, name in enumerate(("http", "http2", "grpc", "tcp"))
    ]
    return [
        o.namespace(),
        o.node(),
        o.service("default/api", "a1"),
        o.revision(API, *ports),
        o.task("default/api-1", API, "10.9.0.2"),
        o.task("default/api-2", API, "10.9.0.3"),
        *more,
    ]


def bundles(objects):
    """bundle -> (type, name) -> resource"""
    view, touched = View.empty().apply(map(change, objects), 1)
    found = defaultdict(dict)
    for update in translate(View.empty(), view, touched, Codec()):
        found[update.bundle].update({(one.type_url, one.name): one for one in update.upserts})
    return found


def test_each_http2_and_grpc_alias_has_a_listener_and_a_route_before_it_has_an_address():
    assert list(bundles(mesh())["grpc/shop"]) == [
        (LDS, "grpc:80"),
        (RDS, "grpc/shop/grpc:80"),
        (LDS, "http2:80"),
        (RDS, "grpc/shop/http2:80"),
    ]


def test_envoys_see_none_of_it():
    seen = bundles(mesh(o.address("grpc", "127.255.0.1")))["ns/shop"]
    assert {name for kind, name in seen if kind == LDS} == {"capture", "alias/shop/grpc:80"}


@pytest.mark.case(145)
def test_the_rules_of_grpc_find_nothing_in_what_is_made():
    found = bundles(mesh())
    seen = [*found["grpc/shop"].values()]
    seen += [one for (kind, name), one in found["ns/shop"].items() if kind in (CDS, EDS) and name.startswith("svc/")]
    assert {one.type_url for one in seen} == {LDS, RDS, CDS, EDS}
    assert [(one.name, problem) for one in seen for problem in grpc_rules.problems(one)] == []


def test_everything_that_is_referred_to_is_in_the_scope():
    found = bundles(mesh())
    scope = found["grpc/shop"] | found["ns/shop"]
    for one in found["grpc/shop"].values():
        wanted = references(one)
        assert wanted
        assert all((reference.type_url, reference.name) in scope for reference in wanted)


def test_what_the_messages_say():
    found = bundles(mesh())["grpc/shop"]
    listener = Listener.parse(found[LDS, "grpc:80"].body)
    assert listener.api_listener is not None
    assert listener.address is None
    (host,) = RouteConfiguration.parse(found[RDS, "grpc/shop/grpc:80"].body).virtual_hosts
    (route,) = host.routes
    assert (host.domains, route.match.prefix, route.route.cluster) == (["*"], "/", "svc/shop/grpc")
    assert (route.route.retry_policy.retry_on, route.route.retry_policy.num_retries) == ("unavailable", 2)
    assert route.route.max_stream_duration.max_stream_duration.total_seconds() == 15


def test_a_tuned_timeout_changes_the_route_and_not_the_listener():
    view, _ = View.empty().apply(map(change, mesh()), 1)
    port = o.port("grpc", app_protocol="grpc", aliases=[("grpc", 80)], per_request_timeout_seconds=0)
    after, touched = view.apply([change(o.revision(API, port, created=9))], 2)
    updates = {update.bundle: update for update in translate(view, after, touched, Codec())}
    assert [(one.type_url, one.name) for one in updates["grpc/shop"].upserts] == [(RDS, "grpc/shop/grpc:80")]
    assert set(updates["grpc/shop"].removals) == {(LDS, "http2:80"), (RDS, "grpc/shop/http2:80")}
    (host,) = RouteConfiguration.parse(updates["grpc/shop"].upserts[0].body).virtual_hosts
    assert host.routes[0].route.max_stream_duration is None


def test_endpoints_move_without_a_change_of_the_bundle():
    view, _ = View.empty().apply(map(change, mesh()), 1)
    after, touched = view.apply([change(o.task("default/api-2", API, "10.9.0.3", desired_status="STOPPED"))], 2)
    assert [update.bundle for update in translate(view, after, touched, Codec())] == ["ns/shop"]
