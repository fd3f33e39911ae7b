"""Services outside of the mesh that apps call as services of it: real servers of this machine, and real Envoys between."""

import json
import subprocess
import sys

import pytest

from tests.e2e.outside_lab import Authority, external, here, refusing, serving
from tests.e2e.traffic_lab import (
    PATIENCE,
    apply,
    ask,
    caller,
    clear,
    count,
    flagged,
    lab,
    listener_updates,
    policy,
    stat,
)
from tests.e2e.traffic_lab import route as rule
from tests.e2e.why_lab import why
from tsunagu.testing import CallFailed, Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab())
        mesh.wait_steady()
        yield mesh


@pytest.fixture(autouse=True)
def clean(mesh):
    yield
    clear(mesh)
    for obj in mesh.objects("External"):
        mesh.delete("External", obj.meta.name)
    mesh.wait_converged()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def http(name):
    return f"appProtocol: http, aliases: [{{dnsName: {name}, port: 80}}]"


def raw(name):
    return f"aliases: [{{dnsName: {name}, port: 5432}}]"


def declare(mesh, name, addresses, *members):
    apply(mesh, external(name, addresses, ", ".join(members)))


def tls(authority, server_name):
    return f"tls: {{serverName: {server_name}, caCertificates: {json.dumps(authority.pem)}}}"


def told(mesh, url, **options):
    answer = ask(mesh, url, **options)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def tsunagu(mesh, *words):
    command = [sys.executable, "-m", "tsunagu.cli", *words, "--home", str(mesh.home.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


# -- one that refuses, none that answers ------------------------------------------------------------------------------


def test_requests_are_answered_though_one_of_two_servers_refuses(mesh):
    """Of those that may not be sent twice, too: a refused connection is no request that was sent."""
    with serving("one") as one, refusing() as none:
        declare(mesh, "pay", here(one, none), http("pay"))
        careful = "retryPolicy: {maxRetries: 2, tcpRetryEvents: [connection-error], onlyIdempotent: true}"
        apply(mesh, policy("pay", careful))
        found = [told(mesh, "http://pay/", method="POST", body=b"x")["name"] for _ in range(12)]
        assert found == ["one"] * 12
        assert stat(mesh, "cluster.svc/lab/pay.upstream_cx_connect_fail") >= 1
        assert stat(mesh, "cluster.svc/lab/pay.upstream_cx_destroy_remote_with_active_rq") == 0


def test_connections_are_made_though_one_of_two_servers_refuses(mesh):
    """To servers that speak first, as databases do; the one that refuses is ejected."""
    with serving("one", kind="banner") as one, refusing() as none:
        declare(mesh, "db", here(one, none), raw("db"))
        assert count(mesh, "tcp", 40, "db:5432") == {"one": 40}
        assert stat(mesh, "cluster.svc/lab/db.outlier_detection.ejections_enforced_total") == 1


def test_what_an_app_sees_when_all_of_them_refuse(mesh):
    with refusing() as none, refusing() as nothing:
        declare(mesh, "gone", here(none, nothing), http("gone"))
        declare(mesh, "lost", here(none, nothing), raw("lost"))
        assert ask(mesh, "http://gone/").status == 503
        with pytest.raises(CallFailed):
            ask(mesh, "http://lost:5432/")
        mesh.wait_until(lambda: flagged(mesh, "UF") >= 1, PATIENCE, "the response flag of a refused connection")
        for target in ("http://gone/", "lost:5432"):
            said = why(mesh, "caller", target)
            assert (said.kind, said.sure) == ("external-down", "sure"), said
            assert f"host.tsunagu.internal:{none}" in said.sentence


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_proxies_speak_tls_for_apps_that_do_not(mesh, authority):
    certificate = authority.sign("api.example")
    with serving("web", certificate=certificate) as web, serving("raw", kind="banner", certificate=certificate) as db:
        declare(mesh, "api", here(web), http("api"), tls(authority, "api.example"))
        declare(mesh, "db", here(db), raw("db"), tls(authority, "api.example"))
        assert told(mesh, "http://api/") == {"name": "web", "host": "api", "tls": True}
        assert count(mesh, "tcp", 8, "db:5432") == {"raw": 8}


def test_a_certificate_that_is_not_right_is_refused_and_explained(mesh, authority, tmp_path):
    foreign = Authority(tmp_path).sign("api.example")
    right, expired = authority.sign("api.example"), authority.sign("api.example", expired=True)
    with (
        serving("right", certificate=right) as good,
        serving("expired", certificate=expired) as old,
        serving("foreign", certificate=foreign) as other,
        serving("plain") as plain,
    ):
        cases = {
            "other-name": (good, "db.example", "external-name"),
            "expired": (old, "api.example", "external-certificate"),
            "foreign": (other, "api.example", "external-certificate"),
            "plaintext": (plain, "api.example", "external-no-tls"),
        }
        apply(
            mesh,
            *(
                external(name, here(port), f"{http(name)}, {tls(authority, server_name)}")
                for name, (port, server_name, _) in cases.items()
            ),
        )
        for name, (_, _, kind) in cases.items():
            assert ask(mesh, f"http://{name}/").status == 503, name
            said = why(mesh, "caller", f"http://{name}/")
            assert (said.kind, said.sure) == (kind, "sure"), said
            assert f"External lab/{name}" in said.sentence


def test_without_a_file_the_machines_authorities_decide(mesh, authority):
    """They do not know ours."""
    with serving("web", certificate=authority.sign("api.example")) as web:
        declare(mesh, "api", here(web), http("api"), "tls: {serverName: api.example}")
        assert ask(mesh, "http://api/").status == 503
        said = why(mesh, "caller", "http://api/")
        assert said.kind == "external-certificate", said
        assert "this machine" in said.sentence


# -- DNS names, and what a namespace forbids --------------------------------------------------------------------------

DOMAIN = """
{{kind: Namespace, name: corp.internal, type: DNS_PRIVATE, soaTtl: 1}}
---
{{kind: CloudMapService, name: corp.internal/api, dnsConfig: {{dnsRecords: [{{type: A, ttl: 1}}]}}}}
---
{{kind: CloudMapInstance, name: corp.internal/api/it, attributes: {{AWS_INSTANCE_IPV4: {ip}, AWS_INSTANCE_PORT: "{port}"}}}}
"""


def test_a_dns_name_is_resolved_by_proxies_and_followed_without_a_failed_request(mesh):
    """Requests to a name are for that name; when its record changes, they go where it leads now."""
    with serving("one") as port, serving("two", host="127.0.0.2", port=port):
        apply(mesh, DOMAIN.format(ip="127.0.0.1", port=port))
        declare(mesh, "api", [f"api.corp.internal:{port}"], http("api"))
        assert told(mesh, "http://api/") == {"name": "one", "host": "api.corp.internal", "tls": False}
        before = listener_updates(mesh)
        apply(mesh, DOMAIN.format(ip="127.0.0.2", port=port))
        mesh.wait_until(lambda: told(mesh, "http://api/")["name"] == "two", 60, "the new address of the name")
        assert listener_updates(mesh) == before
        assert why(mesh, "caller", "http://api/").kind == "works"


def test_a_name_that_does_not_resolve_is_told(mesh):
    declare(mesh, "api", ["nobody.corp.internal:80"], http("api"))
    assert ask(mesh, "http://api/").status == 503
    said = why(mesh, "caller", "http://api/")
    assert (said.kind, said.sure) == ("external-unresolved", "sure"), said


@pytest.fixture
def denied(mesh):
    """The namespace forbids its tasks the world outside."""
    apply(mesh, "{kind: Namespace, name: lab, egress: [deny]}")
    yield
    apply(mesh, "{kind: Namespace, name: lab}")


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print('connected')"


def connects(mesh, host, port):
    """Whether the app of the caller itself reaches a place."""
    return "connected" in mesh.execute(caller(mesh), sys.executable, "-c", CONNECT, host, str(port)).text


def test_an_external_is_allowed_by_itself_where_the_namespace_denies(mesh, denied):
    with serving("one") as one, serving("other") as other:
        declare(mesh, "api", here(one), http("api"))
        mesh.wait_until(
            lambda: not connects(mesh, "169.254.88.1", other), PATIENCE, "a refusal: the node agent has heard"
        )
        assert told(mesh, "http://api/")["name"] == "one"
        assert not connects(mesh, "169.254.88.1", other)


# -- changes under load -----------------------------------------------------------------------------------------------


@pytest.mark.slow("four changes, each under load before and after")
def test_no_request_fails_and_no_listener_moves_while_addresses_and_tls_change(mesh, authority):
    """From one server to two, to the other alone, and there to TLS and back."""
    certificate = authority.sign("api.example")
    with serving("one") as one, serving("two") as two, serving("safe", certificate=certificate) as safe:
        declare(mesh, "api", here(one), http("api"))
        mesh.publish("api", 80)
        mesh.wait_steady()
        before = listener_updates(mesh)
        plan = Plan(late=60, rps=40, connections=8, label=lambda answer: json.loads(answer.body)["name"])
        with mesh.load("http://api/", plan) as load:
            for addresses, members in (
                (here(one, two), ()),
                (here(two), ()),
                (here(safe), (tls(authority, "api.example"),)),
                (here(one), ()),
            ):
                load.wait_requests(40)
                declare(mesh, "api", addresses, http("api"), *members)
            load.wait_requests(40)
        report = load.report()
        assert report.failed == 0, report
        assert set(report.labels) == {"one", "two", "safe"}
        assert listener_updates(mesh) == before
        for gateway in mesh.objects("Gateway"):
            mesh.delete("Gateway", gateway.meta.name)
        mesh.wait_steady()


# -- a service like any ----------------------------------------------------------------------------------------------


def test_routes_and_policies_name_it(mesh):
    with serving("one") as one, serving("two") as two:
        declare(mesh, "api", here(one), http("api"))
        declare(mesh, "next", here(two), http("next"))
        apply(
            mesh, rule("beta", "match: {headers: [{name: x-beta}]}, action: {weightedTargets: [{target: next}]}", "api")
        )
        assert told(mesh, "http://api/")["name"] == "one"
        assert told(mesh, "http://api/", headers={"x-beta": "1"})["name"] == "two"
        apply(mesh, policy("api", "fault: {abort: {percent: 100, httpStatus: 418}}"))
        assert ask(mesh, "http://api/").status == 418


def test_commands_show_it(mesh, tmp_path):
    with serving("one") as one:
        manifest = tmp_path / "api.yaml"
        manifest.write_text(external("api", here(one), http("api")))
        assert "external lab/api would be created" in tsunagu(mesh, "apply", "--dry-run", str(manifest))
        assert "lab/api" in tsunagu(mesh, "apply", str(manifest))
        mesh.wait_converged()
        shown = tsunagu(mesh, "get", "externals")
        assert f"host.tsunagu.internal:{one}" in shown
        assert "api:80" in shown
        assert "addresses" in tsunagu(mesh, "describe", "external", "lab/api")
        assert "127.255." in tsunagu(mesh, "resolve", "api")
        assert [told(mesh, "http://api/")["name"] for _ in range(5)] == ["one"] * 5
        mesh.wait_until(lambda: "api" in tsunagu(mesh, "top", "--once"), 60, "what the caller calls in top")
        tsunagu(mesh, "delete", "external", "lab/api")
        mesh.wait_converged()
        assert mesh.objects("External") == []
