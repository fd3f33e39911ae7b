"""`tsunagu access`: what every port takes, the verdict on one call, and what would change it."""

import json

import pytest

from tests.golden.access import trusted
from tests.golden.traffic import written
from tsunagu.testing import objects as o

POLICIES = """
{kind: Namespace, name: shop, tls: strict}
---
kind: AccessPolicy
name: shop/web
to: {service: web, ports: [http]}
allow:
- from: [{service: worker}]
  requests: [{method: GET, prefix: /items}]
- from: [{hosts: true}, {everybody: true, namespace: back}]
---
{kind: AccessPolicy, name: shop/seen, mode: audit, to: {service: web, ports: [raw]}, allow: [{from: [{service: worker}]}]}
---
{kind: AccessPolicy, name: shop/closed, to: {service: web, ports: [rpc]}}
"""


@pytest.fixture
def mesh(server):
    """Web with three ports, and two callers, as the registry has them."""
    ports = [
        o.port("http", aliases=[("web", 80)]),
        o.port("rpc", app_protocol="grpc", aliases=[("web", 90)]),
        o.port("raw", app_protocol="tcp", aliases=[("web", 99)]),
    ]
    objects = [trusted(), *written(POLICIES)]
    for name, offered in (("web", ports), ("worker", []), ("cart", [])):
        objects += [o.service(f"default/{name}", "a1"), o.revision(f"default/{name}/a1", *offered)]
    for obj in objects:
        if obj.HasField("access_policy"):
            obj.access_policy.source = "access.yaml:3"
        server.do(server.registry.put(obj))
    return server


def run(tsunagu, mesh, *arguments):
    return tsunagu("access", *arguments, "--home", mesh.home.root)


def test_what_every_port_takes_is_a_table(mesh, tsunagu):
    lines = [" ".join(line.split()) for line in run(tsunagu, mesh).stdout.splitlines()]
    assert lines == [
        "SERVICE PORT PROTOCOL TLS TAKES REQUESTS POLICY",
        "default/web http http strict worker GET /items/... shop/web[0]",
        "default/web http http strict hosts, everybody of back - shop/web[1]",
        "default/web raw tcp strict every member - shop/seen (audit)",
        "default/web rpc grpc strict nobody - shop/closed",
    ]
    found = json.loads(run(tsunagu, mesh, "-o", "json").stdout)
    assert [(one["port"], one["open"], one["audited"]) for one in found] == [
        ("http", False, []),
        ("raw", True, ["shop/seen"]),
        ("rpc", False, []),
    ]


def test_a_call_that_is_allowed(mesh, tsunagu):
    done = run(tsunagu, mesh, "worker", "web:80", "GET", "/items/7")
    assert done.exit_code == 0
    assert done.stdout == (
        "allowed: worker calls web:80 (GET /items/7): default/web, port http: shop/web[0] allows it\n"
    )


def test_a_program_that_connect_runs_is_its_machine_by_whatever_name(mesh, tsunagu):
    made = [o.service("default/connect-1", "a1"), o.revision("default/connect-1/a1")]
    made[1].service_revision.host = True
    for obj in (*made, o.task("default/connect-1-x", "default/connect-1/a1", "10.9.0.7", node="n7")):
        mesh.do(mesh.registry.put(obj))
    for caller, node in (("connect-1", "n7"), ("host:n7", "n7"), ("host", "any")):
        (found,) = json.loads(run(tsunagu, mesh, caller, "web:80", "-o", "json").stdout)
        assert (found["identity"], found["rule"]) == (f"/ns/shop/host/{node}", "shop/web[1]")


def test_a_call_that_is_refused_and_what_would_allow_it(mesh, tsunagu):
    done = run(tsunagu, mesh, "cart", "web:80", "POST", "/items")
    assert done.exit_code == 9
    assert done.stdout.splitlines() == [
        (
            "refused: cart calls web:80 (POST /items): default/web, port http is selected by"
            " AccessPolicy shop/web (access.yaml:3), and no rule allows it"
        ),
        (
            "  to allow it, add to `allow` of AccessPolicy shop/web (access.yaml:3):"
            " {from: [{service: cart}], requests: [{method: POST, path: /items}]}"
        ),
    ]


def test_a_grpc_method_is_one_word(mesh, tsunagu):
    done = run(tsunagu, mesh, "cart", "web:90", "shop.Items/List")
    assert done.stdout.startswith("refused: cart calls web:90 (shop.Items/List): default/web, port rpc")
    assert "{from: [{service: cart}], requests: [{serviceName: shop.Items, methodName: List}]}" in done.stdout


def test_an_audited_port_takes_it_and_says_what_it_counts(mesh, tsunagu):
    done = run(tsunagu, mesh, "cart", "web:99")
    assert done.exit_code == 0
    assert "counted as one that AccessPolicy shop/seen (access.yaml:3) would refuse" in done.stdout
    assert "add to `allow` of AccessPolicy shop/seen (access.yaml:3): {from: [{service: cart}]}" in done.stdout


def test_a_machine_may_mean_every_port_of_a_name(mesh, tsunagu):
    found = json.loads(run(tsunagu, mesh, "host:here", "web", "-o", "json").stdout)
    assert [(one["port"], one["identity"], one["allowed"]) for one in found] == [
        ("http", "/ns/shop/host/here", True),
        ("rpc", "/ns/shop/host/here", False),
        ("raw", "/ns/shop/host/here", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("worker",), 2, "tsunagu access FROM TO"),
        (("workr", "web"), 4, 'did you mean "default/worker"?'),
        (("worker", "wbe"), 4, 'did you mean "web"?'),
        (("worker", "web:81"), 4, "nobody offers 'web:81' in namespace shop"),
    ],
)
def test_who_is_not_there_is_said(mesh, tsunagu, arguments, code, words):
    done = run(tsunagu, mesh, *arguments)
    assert done.exit_code == code
    assert words in done.stderr
