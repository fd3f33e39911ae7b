"""`tsunagu routes`: the rules of each alias and gateway, in order, with where they were written."""

import json

import pytest

from tsunagu.testing import objects as o

ROUTES = """
kind: Route
name: shop/beta
alias: web
match: {prefix: /beta/}
action: {weightedTargets: [{target: http}]}
---
{kind: Gateway, name: front, namespace: shop, ports: [{hostPort: 8080}]}
---
{kind: Route, name: shop/all, gateway: front, hosts: [shop.test], action: {weightedTargets: [{target: http}]}}
"""


@pytest.fixture
def mesh(server, tsunagu, shop, tmp_path):
    tsunagu("apply", shop, "--home", server.home.root)
    server.do(server.registry.put(o.revision("default/web/a1", o.port("http", aliases=[("web", 80)]))))
    service = server.do(server.registry.get("Service", "default/web"))
    service.service.status.revision = "default/web/a1"
    server.do(server.registry.put(service))
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES)
    done = tsunagu("apply", routes, "--home", server.home.root)
    assert done.exit_code == 0, done.output
    return server


def run(tsunagu, mesh, *arguments):
    return tsunagu("routes", *arguments, "--home", mesh.home.root)


def test_rules_come_in_order_with_the_line_that_says_them(mesh, tsunagu):
    found = json.loads(run(tsunagu, mesh, "web:80", "-o", "json").stdout)
    assert [(one["rule"], one["matches"], one["goesTo"], one["tried"]) for one in found] == [
        ("shop/beta", "/beta/*", "http", "15 s, 2 retries"),
        ("", "everything", "http", "15 s, 2 retries"),
    ]
    assert found[0]["source"].endswith("routes.yaml:2")
    assert found[1]["source"] == "Service Connect"


def test_a_gateway_has_its_own(mesh, tsunagu):
    (one,) = json.loads(run(tsunagu, mesh, "front", "-o", "json").stdout)
    assert (one["of"], one["rule"], one["matches"]) == ("gateway front", "shop/all", "shop.test")


def test_all_of_them_are_a_table(mesh, tsunagu):
    lines = run(tsunagu, mesh).stdout.splitlines()
    assert lines[0].split()[:3] == ["OF", "RULE", "MATCHES"]
    assert len(lines) == 4


def test_what_takes_no_routes_is_said(mesh, tsunagu):
    result = run(tsunagu, mesh, "wep")
    assert result.exit_code == 2
    assert 'did you mean "web"?' in result.stderr


def test_a_route_that_only_stands_elsewhere_has_not_changed(mesh, tsunagu, tmp_path):
    routes = tmp_path / "routes.yaml"
    routes.write_text(f"# a line more\n{ROUTES}")
    assert "route shop/beta is as it should be" in tsunagu("apply", routes, "--home", mesh.home.root).stdout
    routes.write_text(routes.read_text().replace("/beta/", "/gamma/"))
    tsunagu("apply", routes, "--home", mesh.home.root)
    found = json.loads(run(tsunagu, mesh, "web", "-o", "json").stdout)
    assert found[0]["source"].endswith("routes.yaml:3")
