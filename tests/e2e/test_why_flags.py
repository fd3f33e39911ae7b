"""The egress access log, switched at run time: each response flag that docs/why.md explains is seen in a line here.

And calls to what nobody offers, which no alias listener sees: they are counted, and shown by `describe`.
"""

import re
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.route.v3 as routes
import pytest

from tests.e2e import why_lab as lab
from tests.e2e.commands import tsunagu
from tests.e2e.next_agent import node_of, wait_next_agent
from tests.e2e.why_lab import client, faulty, why
from tsunagu.mesh.traffic.model import Destination, EndpointPolicy
from tsunagu.testing import CallFailed, Mesh, MeshError
from tsunagu.translate.clusters import ServiceCluster, service_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PAGE = Path(__file__).parents[2] / "docs" / "why.md"
ALIAS = "alias/shop/api:80"
#: The flag that tests/e2e/test_identity_faults.py sees, exactly: of a caller whose certificate the server's Envoy refuses.
SEEN_WITH_TLS = "UC"


@pytest.fixture(scope="module")
def mesh():
    manifests = [
        {"kind": "Namespace", "name": "shop"},
        *client("web"),
        *faulty("api", "ok"),
        *faulty("reset", "reset"),
        *faulty("leaver", "ok"),
        *faulty("gone", "ok", protocol="tcp"),
        *faulty("cuts", "reset", protocol="tcp"),
        *faulty("none", "ok", service_fields={"desiredCount": 0}),
        *faulty("nine", "ok", protocol="tcp", service_fields={"desiredCount": 0}),
        *faulty("short", "ok", connect={"timeout": {"perRequestTimeoutSeconds": 1}}),
        *faulty("idle", "ok", connect={"timeout": {"perRequestTimeoutSeconds": 0, "idleTimeoutSeconds": 1}}),
        *faulty("refuses", "close-at-once", protocol="tcp"),
    ]
    with Mesh() as running:
        running.apply(text=lab.text(*manifests))
        running.wait_steady()
        tsunagu(running, "egress-log", "web", "on")
        yield running


def lines(mesh, to="", task="web"):
    """The lines of the egress log for calls to a name, as fields."""
    found = [line for line in mesh.logs(task, "envoy") if line.startswith("egress ")]
    parsed = [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)) for line in found]
    return [one for one in parsed if not to or f"/{to}" in one["cluster"] or one.get("host", "") == f'"{to}"']


def flag(mesh, to, flags, seconds=60):
    """Wait for a line about a call to `to` with these flags."""

    def seen():
        return next((one for one in lines(mesh, to) if set(flags.split(",")) <= set(one["flags"].split(","))), None)

    try:
        return mesh.wait_until(seen, seconds, f"a line to {to} with {flags}")
    except MeshError as error:
        error.add_note(f"there are {lines(mesh, to)}")
        raise


def call(mesh, url, **more):
    try:
        return mesh.call(url, from_task="web", **more).status
    except CallFailed:
        return 0


def connect(mesh, name, port):
    """Connect from `web`, and read until the other side ends."""
    code = f"import socket; s = socket.create_connection(('{name}', {port}), 9); s.settimeout(9); print(s.recv(99))"
    return mesh.execute("web", "python3", "-c", code).text


def test_a_call_that_succeeds_has_no_flag(mesh):
    assert call(mesh, "http://api/hello?secret=1") == 200
    line = flag(mesh, "api", "-")
    assert (line["status"], line["request"], line["tries"]) == ("200", '"GET /hello HTTP/1.1"', "1")
    assert not any("secret" in text for text in mesh.logs("web", "envoy"))


def test_no_endpoint_is_uh(mesh):
    assert call(mesh, "http://none/") == 503
    assert flag(mesh, "none", "UH")["details"].startswith("no_healthy_upstream")
    assert connect(mesh, "nine", 80) == "b''"
    flag(mesh, "nine", "UH")


def test_a_reset_app_is_uc_and_the_retries_are_urx(mesh):
    """Its own Envoy answers 503 UC, which the caller's retries; in the end the caller logs what it got."""
    assert call(mesh, "http://reset/") == 503
    assert flag(mesh, "reset", "URX")["tries"] == "3"


def test_an_app_that_does_not_listen_is_urx_via_upstream(mesh):
    mesh.call("http://127.0.0.1:8080/leave", from_task="leaver")
    mesh.wait_until(lambda: call(mesh, "http://leaver/") == 503, 60, "503")
    line = flag(mesh, "leaver", "URX")
    assert (line["flags"], line["details"]) == ("URX", "via_upstream")


def test_an_endpoint_that_refuses_connections_is_uf_for_http_and_tcp(mesh):
    for name in ("api", "gone"):
        assignment = lean_endpoints(f"svc/shop/{name}", mesh.task(name).task.status.ip, 9)
        mesh.override("shop", "EDS", f"svc/shop/{name}", bytes(assignment))
    mesh.wait_converged()
    assert call(mesh, "http://api/") == 503
    line = flag(mesh, "api", "UF,URX")
    assert "Connection_refused" in line["failure"]
    assert connect(mesh, "gone", 80) == "b''"
    assert flag(mesh, "gone", "UF,URX")["tries"] == "3"
    for name in ("api", "gone"):
        mesh.override("shop", "EDS", f"svc/shop/{name}")
    mesh.wait_converged()


def lean_endpoints(cluster, ip, port):
    address = core.Address(socket_address=core.SocketAddress(address=ip, port_value=port))
    host = endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address))
    locality = endpoints.LocalityLbEndpoints(lb_endpoints=[host])
    return endpoints.ClusterLoadAssignment(cluster_name=cluster, endpoints=[locality])


def test_what_is_no_http_is_dpe(mesh):
    code = "import socket; s = socket.create_connection(('api', 80), 9); s.sendall(b'SSH-2.0\\r\\n\\r\\n'); print(s.recv(99))"
    assert "400" in mesh.execute("web", "python3", "-c", code).text
    ip = mesh.get("VirtualAddress", "shop/api").virtual_address.ip

    def seen():
        return [one for one in lines(mesh) if one["to"] == f"{ip}:80" and "DPE" in one["flags"]]

    assert mesh.wait_until(seen, 60, "a line with DPE")[0]["status"] == "400"


def test_a_tcp_app_that_resets_is_ur(mesh):
    code = "import socket; s = socket.create_connection(('cuts', 80), 9); s.sendall(b'hello'); print(s.recv(99))"
    mesh.execute("web", "python3", "-c", code)
    line = mesh.wait_until(lambda: lines(mesh, "cuts"), 60, "a line")[0]
    assert (line["flags"], line["sent"]) == ("UR", "5")


def test_the_request_timeout_is_ut_and_the_idle_timeout_si(mesh):
    """Both sides have the timeout: when the other side is the first to cut, the caller's log says `-` and via_upstream."""
    for name, expected, details in (("short", "UT", "response_timeout"), ("idle", "SI", "stream_idle_timeout")):

        def cut(name=name, expected=expected):
            assert call(mesh, f"http://{name}/slow/1.5") == 504
            mesh.wait_until(lambda: lines(mesh, name), 60, "a line")
            return next((one for one in lines(mesh, name) if one["flags"] == expected), None)

        assert mesh.wait_until(cut, 60, f"{name} cut by the caller's Envoy")["details"] == details


def test_a_caller_that_leaves_is_dc(mesh):
    call(mesh, "http://api/slow/3", timeout=0.5)
    assert flag(mesh, "api", "DC")["status"] == "0"


def test_no_route_is_nr(mesh):
    one = routes.Route(match=routes.RouteMatch(prefix="/v2"), route=routes.RouteAction(cluster="svc/shop/api"))
    config = routes.RouteConfiguration(name=ALIAS, virtual_hosts=[routes.VirtualHost("all", ["*"], routes=[one])])
    mesh.override("shop", "RDS", ALIAS, bytes(config))
    mesh.wait_converged()
    assert call(mesh, "http://api/v1") == 404
    flag(mesh, "api", "NR")
    one.route.cluster = "svc/shop/nosuch"
    mesh.override("shop", "RDS", ALIAS, bytes(config))
    mesh.wait_converged()
    assert call(mesh, "http://api/v2") == 503
    flag(mesh, "api", "NC")
    mesh.override("shop", "RDS", ALIAS)
    mesh.wait_converged()


def test_an_open_circuit_breaker_is_uo(mesh):
    whole = service_cluster("svc/shop/api", ServiceCluster("shop", Destination("api"), "http", 300, EndpointPolicy()))
    limits = clusters.CircuitBreakersThresholds(max_requests=0, max_pending_requests=0, max_connections=1)
    whole.circuit_breakers = clusters.CircuitBreakers(thresholds=[limits])
    mesh.override("shop", "CDS", "svc/shop/api", bytes(whole))
    mesh.wait_converged()
    assert call(mesh, "http://api/") == 503
    flag(mesh, "api", "UO")
    mesh.override("shop", "CDS", "svc/shop/api")
    mesh.wait_converged()


def test_calls_to_nobody_are_counted_by_name(mesh):
    for _ in range(3):
        assert connect(mesh, "api", 81) == "b''"
    shown = tsunagu(mesh, "describe", "task", "web")
    assert re.search(r"Calls to what nobody offers.*\n.*\n *web-\w+ +api:81 +3 connections\n", shown), shown
    assert "api:81" in tsunagu(mesh, "describe", "service", "web")
    mesh.execute("web", "getent", "hosts", "apii")
    shown = tsunagu(mesh, "describe", "task", "web")
    assert re.search(r"web-\w+ +apii +\d+ look-ups", shown), shown
    assert re.search(r"has the name apii \(it was looked up \d+ times\)", why(mesh, "web", "apii:80").sentence)
    asked = why(mesh, "web", "api:81")
    assert asked.sentence.startswith(
        "web called api:81 (its apps did so 3 times since its Envoy started); api offers 80"
    )


def test_the_switch_survives_envoy_and_the_node_agent_and_changes_no_listener(mesh):
    before = mesh.envoy("web", "/stats?filter=listener_manager.listener_(modified|in_place_updated)").text
    assert "web-" in tsunagu(mesh, "egress-log", "web", "errors")
    assert mesh.envoy("web", "/stats?filter=listener_manager.listener_(modified|in_place_updated)").text == before
    count = len(lines(mesh, "api"))
    assert call(mesh, "http://api/after") == 200
    assert call(mesh, "http://none/after") == 503
    mesh.wait_until(lambda: [one for one in lines(mesh, "none") if "/after" in one["request"]], 60, "the failure")
    assert len(lines(mesh, "api")) == count

    before, node = mesh.task("web").task.status.proxy.pid, node_of(mesh)
    mesh.kill("node")
    mesh.kill("envoy:web")
    wait_next_agent(mesh, node)
    mesh.wait_until(lambda: mesh.task("web").task.status.proxy.pid not in {0, before}, 60, "another Envoy")
    mesh.wait_converged()

    def told():
        """A call until the node agent has told its new Envoy is not logged yet."""
        assert call(mesh, "http://none/again") == 503
        return [one for one in lines(mesh, "none") if "/again" in one["request"]]

    mesh.wait_until(told, 60, "the failure")
    assert "logs no calls" in tsunagu(mesh, "egress-log", "web", "off")
    assert '"final_value": "100"' not in mesh.envoy("web", "/runtime?format=json").text


def test_who_has_no_envoy_is_told(mesh):
    assert "there is no task and no service" in tsunagu(mesh, "egress-log", "nobody", "on", code=4)
    assert "Invalid value" in tsunagu(mesh, "egress-log", "web", "loud", code=2)


def test_each_flag_of_the_page_is_seen(mesh):
    """The table of the page lists what the lines above have: no flag is explained that was not seen."""
    section = PAGE.read_text().partition("## Response flags")[2]
    explained = set(re.findall(r"^\| `([A-Z]+)` \|", section, re.MULTILINE))
    seen = {one for line in lines(mesh) for one in line["flags"].split(",")} - {"-"}
    assert explained - {SEEN_WITH_TLS} <= seen, sorted(seen)
