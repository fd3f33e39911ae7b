"""The tables of aliases: which rules there are in which order, and what they say once nothing is left open."""

from dataclasses import replace

import pytest

from tsunagu.mesh.traffic import model as traffic
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.testing import objects as o
from tsunagu.v1 import objects_pb2

OLD, NEW = "default/cart/a1", "default/cart/b2"
CART = traffic.Destination("cart")


def shop(*manifests, weights=(), tested=""):
    cart = o.service("default/cart", "b2")
    made = (objects_pb2.RevisionWeight(revision=name, weight=weight) for name, weight in weights)
    cart.service.status.traffic.CopyFrom(objects_pb2.ServiceTraffic(weights=made, test_revision=tested))
    rpc = o.port("rpc", app_protocol="grpc")
    raw = o.port("raw", app_protocol="tcp")
    return [
        o.namespace(),
        o.node(),
        cart,
        o.revision(OLD, o.port("cart"), created=3),
        o.revision(NEW, o.port("cart", per_request_timeout_seconds=7), created=9),
        o.task("default/cart-1", OLD, "10.9.0.1"),
        o.task("default/cart-2", OLD, "10.9.0.2"),
        o.task("default/cart-3", NEW, "10.9.0.3"),
        o.service("default/other", "c1"),
        o.revision("default/other/c1", rpc, raw),
        o.task("default/other-1", "default/other/c1", "10.9.0.9"),
        *(o.address(name, f"127.255.0.{number}") for number, name in enumerate(("cart", "rpc", "raw"))),
        *(obj for text in manifests for obj in written(text)),
    ]


def written(text):
    return [ids.make(one.kind, one.name, one.message) for one in formats.read([formats.Source("traffic.yaml", text)])]


def changes(*objects):
    return [(ids.kind_of(one), one.meta.name, None, one) for one in objects]


def view_of(*manifests, **traffic):
    return View.empty().apply(changes(*shop(*manifests, **traffic)), 1)[0]


def table(view, name="cart", port=80):
    return view.table(view.alias("shop", name, port))


def route(name, action="{weightedTargets: [{target: cart}]}", **members):
    more = "".join(f", {key}: {value}" for key, value in members.items())
    return f"{{kind: Route, name: shop/{name}, alias: cart, action: {action}{more}}}"


def policy(name, members):
    return f"{{kind: TrafficPolicy, name: shop/{name}, {members}}}"


def forwarded(rule):
    return [(one.to.discovery_name, one.to.revision, one.weight) for one in rule.action.targets]


# -- order ------------------------------------------------------------------------------------------------------------


def test_service_connect_is_the_table_with_one_rule():
    (rule,) = table(view_of())
    assert rule == traffic.Rule(
        traffic.Forward((traffic.Weighted(CART),)),
        limits=traffic.Limits(7_000, 300_000),
        retry=traffic.CONNECT_RETRY,
    )


def test_rules_come_by_priority_then_by_name_and_service_connects_own_is_the_last():
    view = view_of(route("b"), route("z", priority=1), route("a"), route("late", priority=1000))
    assert [rule.name for rule in table(view)] == ["shop/z", "shop/a", "shop/b", "shop/late", ""]


def test_a_route_of_one_port_is_not_anothers():
    other = "{kind: Route, name: shop/r, alias: 'cart:81', action: {weightedTargets: [{target: cart}]}}"
    assert len(table(view_of(other))) == 1
    assert len(table(view_of(other.replace("81", "80")))) == 2


def test_test_traffic_goes_before_every_rule():
    first, *_ = table(view_of(route("a", priority=0), tested=NEW))
    assert forwarded(first) == [("cart", NEW, 1)]
    assert first.match.headers == (traffic.Condition("x-amzn-ecs-blue-green-test"),)


def test_an_alias_may_name_its_test_header():
    alias = objects_pb2.Alias(dns_name="cart", port=80, test_header="x-try", test_value="green")
    own = o.port("cart")
    own.aliases[0].CopyFrom(alias)
    view, _ = view_of(tested=NEW).apply(changes(o.revision(NEW, own, created=9)), 2)
    assert table(view)[0].match.headers == (traffic.Condition("x-try", "exact", "green"),)


# -- destinations -----------------------------------------------------------------------------------------------------


def test_a_destination_that_nobody_provides_is_left_out_and_so_is_one_without_a_weight():
    targets = (
        "{weightedTargets: [{target: cart, weight: 3}, {target: nobody}, {target: raw}, {target: rpc, weight: 0}]}"
    )
    assert forwarded(table(view_of(route("a", targets)))[0]) == [("cart", "", 1)]


def test_a_revision_may_be_named_by_its_hash():
    targets = f"{{weightedTargets: [{{target: cart, revision: a1}}, {{target: cart, revision: {NEW}}}, {{target: cart, revision: zz}}]}}"
    view = view_of(route("a", targets))
    assert forwarded(table(view)[0]) == [("cart", OLD, 1), ("cart", NEW, 1)]
    assert view.subsets("shop", "cart") == {traffic.Destination("cart", OLD), traffic.Destination("cart", NEW)}


def test_a_revision_has_a_cluster_of_its_own_only_while_something_leads_there():
    assert view_of().subsets("shop", "cart") == frozenset()
    assert view_of(tested=NEW).subsets("shop", "cart") == {traffic.Destination("cart", NEW)}
    assert view_of(tested="default/cart/gone").subsets("shop", "cart") == frozenset()
    mirror = "{weightedTargets: [{target: cart}], mirror: {target: cart, revision: a1}}"
    assert view_of(route("a", mirror)).subsets("shop", "cart") == {traffic.Destination("cart", OLD)}


# -- what a rule does not say -----------------------------------------------------------------------------------------

LIMITS = "timeout: {perRequest: {unit: s, value: 1}}"
ONCE = "retryPolicy: {maxRetries: 1, httpRetryEvents: [gateway-error]}"


def test_the_policy_says_what_the_rule_does_not_and_the_port_what_the_policy_does_not():
    view = view_of(policy("cart", f"{LIMITS}, {ONCE}"), route("a", timeout="{idle: {unit: ms, value: 5}}"))
    own, default = table(view)
    assert own.limits == traffic.Limits(1_000, 5)
    assert default.limits == traffic.Limits(1_000, 300_000)
    assert own.retry == default.retry == traffic.Retry(1, (), (502, 503, 504))


def test_a_rules_own_words_win():
    view = view_of(
        policy("cart", f"{LIMITS}, {ONCE}"),
        route("a", retryPolicy="{maxRetries: 0}", timeout="{perRequest: {unit: s, value: 9}}"),
    )
    assert table(view)[0].retry.times == 0
    assert table(view)[0].limits.request == 9_000


def test_what_leads_elsewhere_is_treated_as_that_is():
    view = view_of(
        route("a", "{weightedTargets: [{target: rpc}]}"), policy("rpc", "fault: {abort: {percent: 5, grpcStatus: 14}}")
    )
    rule = table(view)[0]
    assert rule.retry == traffic.CONNECT_RETRY_GRPC
    assert rule.fault == traffic.Fault(abort_percent=5, grpc_status=14)
    assert rule.limits == traffic.Limits(15_000, 300_000)


EVENTS = [
    ("httpRetryEvents: [stream-error]", ("refused-stream",), (), ()),
    ("httpRetryEvents: [client-error, gateway-error]", (), (409, 502, 503, 504), ()),
    ("httpRetryEvents: [server-error]", (), (500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511), ()),
    ("tcpRetryEvents: [connection-error]", ("connect-failure",), (), ()),
    ("grpcRetryEvents: [unavailable, cancelled]", (), (), ("unavailable", "cancelled")),
]


@pytest.mark.parametrize(("events", "conditions", "codes", "grpc"), EVENTS)
def test_what_app_meshs_events_mean(events, conditions, codes, grpc):
    retry = table(view_of(route("a", retryPolicy=f"{{{events}}}")))[0].retry
    assert (retry.conditions, retry.codes, retry.grpc, retry.times) == (conditions, codes, grpc, 2)


def test_what_must_not_be_executed_twice_is_tried_again_only_if_it_reached_no_app():
    retry = replace(traffic.CONNECT_RETRY_GRPC, per_try=9)
    assert retry.harmless == traffic.Retry(2, ("connect-failure", "refused-stream"), per_try=9)
    assert traffic.Retry(2, (), (503,)).harmless.times == 0


# -- what a change touches --------------------------------------------------------------------------------------------


def touched(view, *objects):
    return view.apply(changes(*objects), 2)[1]


def test_a_task_touches_no_table():
    view = view_of(route("a"), policy("cart", LIMITS))
    found = touched(view, o.task("default/cart-9", NEW, "10.9.0.30"))
    assert (found.endpoints, found.aliases, found.ports) == ({("shop", "cart")}, set(), set())


def test_a_policy_touches_its_cluster_and_every_table_that_leads_there():
    view = view_of("{kind: Route, name: shop/r, alias: rpc, action: {weightedTargets: [{target: cart}]}}")
    found = touched(view, *written(policy("cart", LIMITS)))
    assert found.aliases == {("shop", "cart", 80), ("shop", "rpc", 80)}
    assert ("shop", "cart") in found.ports


def test_weights_touch_assignments_alone():
    (service,) = [one for one in shop(weights=[(OLD, 900), (NEW, 100)]) if one.meta.name == "default/cart"]
    view = view_of(weights=[(OLD, 950), (NEW, 50)])
    after, found = view.apply(changes(service), 2)
    weights = {one.revision: one.weight for one in after.localities("shop", CART)}
    assert weights == {OLD: 900, NEW: 100}
    assert ("shop", "cart") in found.endpoints


def test_what_comes_back_brings_its_share_of_a_route_with_it():
    """A route to a name that nobody provides waits for it."""
    view = view_of(route("a", "{weightedTargets: [{target: late}]}"))
    assert table(view)[0].action.targets == ()
    late = [o.service("default/late", "d1"), o.revision("default/late/d1", o.port("late"))]
    after, found = view.apply(changes(*late), 2)
    assert forwarded(table(after)[0]) == [("late", "", 1)]
    assert ("shop", "cart", 80) in found.aliases


# -- gateways ---------------------------------------------------------------------------------------------------------

FRONT = (
    "{kind: Gateway, name: front, namespace: shop, ports: [{hostPort: 8080}, {hostPort: 8081, alias: cart, port: 80}]}"
)


def at_front(name, target="cart", **members):
    more = "".join(f", {key}: {value}" for key, value in members.items())
    return (
        f"{{kind: Route, name: shop/{name}, gateway: front, action: {{weightedTargets: [{{target: {target}}}]}}{more}}}"
    )


def test_a_gateway_has_its_own_routes_in_their_order_with_their_hosts():
    view = view_of(FRONT, at_front("b", hosts="[a.test]"), at_front("a", priority=1), route("of-an-alias"))
    found = view.gateway_routes(view.gateway("front"))
    assert [(hosts, rule.name) for hosts, rule in found] == [((), "shop/a"), (("a.test",), "shop/b")]
    assert [rule.name for rule in table(view)] == ["shop/of-an-alias", ""]
    assert view.gateway("front").ports == ((8080, False),)


def test_what_changes_at_a_gateway_touches_no_alias():
    view = view_of(FRONT)
    found = touched(view, *written(at_front("a")))
    assert (found.gateways, found.aliases) == ({"front"}, set())
    found = touched(view_of(FRONT, at_front("a")), *written(policy("cart", LIMITS)))
    assert found.gateways == {"front"}
    assert touched(view, o.task("default/cart-9", NEW, "10.9.0.30")).gateways == set()
