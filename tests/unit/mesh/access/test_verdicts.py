"""The verdict on one call: whom a principal admits, which requests a rule includes, what an admission makes of both.

`tests/e2e/test_access.py` asks real Envoys the same questions.
"""

import pytest

from tests.golden.traffic import written
from tsunagu.mesh.access import admissions
from tsunagu.mesh.access.words import OPEN, Call, Principal, Requests, Verdict
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o

WEB = "/ns/shop/cluster/default/service/web"
SERVICE = "default/orders"


def policy(name, allow, to="service: orders", mode="enforce"):
    return f"{{kind: AccessPolicy, name: shop/{name}, mode: {mode}, to: {{{to}}}, allow: [{allow}]}}"


def view_of(*manifests):
    objects = [
        o.namespace(),
        o.service(SERVICE, "a1"),
        o.revision(f"{SERVICE}/a1", o.port("web"), o.port("db", app_protocol="tcp")),
        *(obj for text in manifests for obj in written(text)),
    ]
    return View.empty().apply([(ids.kind_of(one), one.meta.name, None, one) for one in objects], 1)[0]


def admission(*manifests, port="web"):
    return admissions.of_port(view_of(*manifests), SERVICE, "shop", port)


# -- principals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "identity", "admitted"),
    [
        (WEB, WEB, True),
        (WEB, WEB + "s", False),  # a name ends where it ends
        (WEB, WEB[:-1], False),
        (WEB, WEB + "/x", False),
        ("/ns/shop/", WEB, True),
        ("/ns/shop/", "/ns/shopping/gateway/g", False),
        ("/ns/shop/", "/ns/shop", False),
        ("/ns/shop/host/", "/ns/shop/host/machine", True),
        ("/ns/shop/host/", WEB, False),
        ("", WEB, True),
    ],
)
def test_a_principal_admits(path, identity, admitted):
    assert Principal(path).admits(identity) is admitted


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        ("service: web", WEB),
        ("service: batch/web", "/ns/shop/cluster/batch/service/web"),
        ("service: web, namespace: back", "/ns/back/cluster/default/service/web"),
        ("family: job", "/ns/shop/cluster/default/task/job"),
        ("family: job, cluster: batch", "/ns/shop/cluster/batch/task/job"),
        ("gateway: front", "/ns/shop/gateway/front"),
        ("hosts: true", "/ns/shop/host/"),
        ("everybody: true", "/ns/shop/"),
        ("everybody: true, namespace: back", "/ns/back/"),
        ("anyone: true", ""),
    ],
)
def test_a_caller_is_a_principal(caller, path):
    (rule,) = admission(policy("p", f"{{from: [{{{caller}}}]}}")).rules
    assert rule.principals == (Principal(path),)


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "call", "included"),
    [
        (Requests(), ("GET", "/"), True),
        (Requests("GET"), ("GET", "/x"), True),
        (Requests("GET"), ("HEAD", "/x"), False),
        (Requests(path_kind="exact", path="/x"), ("GET", "/x"), True),
        (Requests(path_kind="exact", path="/x"), ("GET", "/x?a=/y"), True),
        (Requests(path_kind="exact", path="/x"), ("GET", "/x/"), False),
        (Requests(path_kind="below", path="/x"), ("GET", "/x"), True),
        (Requests(path_kind="below", path="/x"), ("GET", "/x/y/z?q"), True),
        (Requests(path_kind="below", path="/x"), ("GET", "/xy"), False),
        (Requests(path_kind="below", path="/x/"), ("GET", "/x"), False),
        (Requests(path_kind="below", path="/x/"), ("GET", "/x/"), True),
        (Requests(path_kind="below", path="/"), ("GET", "/anything"), True),
        (Requests("POST", "below", "/x"), ("GET", "/x/y"), False),
        (Requests("POST", "below", "/x"), ("POST", "/x/y"), True),
    ],
)
def test_requests_include(requests, call, included):
    assert requests.include(Call(WEB, *call)) is included


@pytest.mark.parametrize(
    "tail", ["..", "../", "./", "a/..", "a/../b", "..;/a", "//a", "%2e%2e/a", "%2E/a", "a%2fb", "a%5Cb", "a\\b"]
)
def test_a_path_that_an_app_may_read_as_another_is_below_nothing(tail):
    assert not Requests(path_kind="below", path="/public").include(Call(WEB, "GET", f"/public/{tail}"))


@pytest.mark.parametrize("tail", ["a.b", ".well-known/x", "...", "a..b", "%20", "a;b", "a?q=../x"])
def test_a_path_with_dots_elsewhere_is_not_such_a_one(tail):
    assert Requests(path_kind="below", path="/public").include(Call(WEB, "GET", f"/public/{tail}"))


def test_grpc_names_a_service_or_a_method_of_it():
    grpc = "{from: [{service: web}], requests: [{serviceName: a.B, methodName: C}, {serviceName: a.D}]}"
    found = admission(policy("p", grpc))
    paths = ("/a.B/C", "/a.B/E", "/a.D/E", "/a.Db/E")
    assert [found.verdict(Call(WEB, "POST", path)).allowed for path in paths] == [True, False, True, False]


# -- admissions -------------------------------------------------------------------------------------------------------


def test_without_a_policy_everything_is_taken():
    assert admission() is OPEN
    assert OPEN.verdict(Call(WEB)) == Verdict(allowed=True)


def test_what_no_policy_allows_is_refused_and_what_one_allows_is_taken():
    found = admission(
        policy("a", "{from: [{service: web}], requests: [{method: GET}]}"), policy("b", "{from: [{gateway: front}]}")
    )
    assert found.enforced == ("shop/a", "shop/b")
    assert found.verdict(Call(WEB, "GET", "/")) == Verdict(allowed=True, rule="shop/a[0]")
    assert found.verdict(Call(WEB, "POST", "/")) == Verdict(allowed=False)
    assert found.verdict(Call("/ns/shop/gateway/front", "POST", "/")) == Verdict(allowed=True, rule="shop/b[0]")


def test_a_policy_without_a_rule_is_for_nobody():
    assert not admission(policy("p", "")).verdict(Call(WEB)).allowed


def test_a_policy_leaves_other_ports_alone():
    text = policy("p", "", "service: orders, ports: [web]")
    assert admission(text, port="db") is OPEN
    assert not admission(text).open


def test_a_policy_of_another_namespace_selects_nothing():
    stray = policy("p", "").replace("shop/p", "back/p")
    assert admission(stray) is OPEN


def test_audit_refuses_nothing_and_tells_what_it_would():
    found = admission(policy("p", "{from: [{service: web}]}", mode="audit"))
    assert found.open
    assert found.verdict(Call(WEB)) == Verdict(allowed=True)
    assert found.verdict(Call("/ns/shop/gateway/front")) == Verdict(allowed=True, audited=True)


def test_audit_beside_an_enforced_policy_counts_what_neither_would_take():
    found = admission(policy("a", "{from: [{gateway: front}]}", mode="audit"), policy("b", "{from: [{service: web}]}"))
    assert found.verdict(Call("/ns/shop/gateway/front")) == Verdict(allowed=False)
    assert found.verdict(Call(WEB)) == Verdict(allowed=True, rule="shop/b[0]")


# -- what changes -----------------------------------------------------------------------------------------------------


def test_a_policy_touches_the_service_that_it_selects_and_the_one_before():
    view = view_of(policy("p", ""))
    (moved,) = written(policy("p", "", "service: batch/job"))
    after, touched = view.apply([("AccessPolicy", "shop/p", None, moved)], 2)
    assert touched.access == {SERVICE, "batch/job"}
    assert len(touched) == 2
    assert admissions.of_port(after, SERVICE, "shop", "web") is OPEN
    assert after.apply([("AccessPolicy", "shop/p", None, moved)], 3)[1].access == set()
    gone, touched = after.apply([("AccessPolicy", "shop/p", None, None)], 4)
    assert touched.access == {"batch/job"}
    assert not len(gone.tables.access_policies)


def test_the_revisions_of_a_service_that_are_in_force():
    assert admissions.revisions_of(view_of(), SERVICE) == (f"{SERVICE}/a1",)
    assert admissions.revisions_of(view_of(), "default/web") == ()
