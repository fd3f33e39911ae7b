"""TLS between tasks on real Envoys: the modes of a namespace, what is refused in which, and that a change of mode is not felt."""

import contextlib
import sys
from pathlib import Path

import pytest

from tests.e2e.traffic_lab import PATIENCE, caller, count, lab, service, stat, told
from tests.golden.outside import AUTHORITY
from tsunagu.mesh.traffic.model import Destination, EndpointPolicy
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan
from tsunagu.translate import wire
from tsunagu.translate.clusters import ServiceCluster, service_cluster
from tsunagu.translate.codec import Codec
from tsunagu.translate.secured import tls

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

CLIENT = Path(__file__).parent / "tls_client.py"
PORTS = {"blue", "blue-rpc", "blue-raw"}
RATE = 200 / 3  # requests a second of each protocol


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue", count=2)))
        mesh.wait_steady()
        for port in (80, 9000, 7000):
            mesh.publish("blue", port)
        yield mesh


def say(mesh, mode):
    """Set the mode, and wait until it is in force."""
    mesh.apply(text=f"{{kind: Namespace, name: lab, tls: {mode}}}")
    mesh.wait_until(lambda: in_force(mesh, mode), PATIENCE, f"mode {mode} in force: {states(mesh)}")
    mesh.wait_converged()


def in_force(mesh, mode):
    ready = PORTS if mode != "off" else set()
    alone = PORTS if mode == "strict" else set()
    return all((set(one.ready), set(one.alone), one.waits_for) == (ready, alone, "") for one in states(mesh))


def states(mesh):
    return [task.task.status.tls for task in mesh.tasks("blue") if task.task.status.last_status == "RUNNING"]


def listeners(mesh, task):
    """The first words of the names of a task's ingress listeners."""
    answer = mesh.envoy(task_id(task), "/listeners?format=json").json()
    names = [one["name"] for one in answer.get("listener_statuses", ())]
    return {name.partition("/")[0] for name in names} & {"in", "tls"}


def listens_as(mesh, mode):
    expected = {"off": {"in"}, "permissive": {"in", "tls"}, "strict": {"tls"}}[mode]
    return all(listeners(mesh, task) == expected for task in mesh.tasks("blue"))


def outsider(mesh, how, port):
    """What somebody without an identity gets at a port of a task, from within another one."""
    address = mesh.tasks("blue")[0].task.status.ip
    return mesh.execute(caller(mesh), sys.executable, str(CLIENT), address, str(port), how).text.strip()


def counted(mesh, stat):
    """A counter of the TLS ingress of the first task."""
    task = mesh.tasks("blue")[0]
    text = mesh.envoy(task_id(task), f"/stats?filter=^listener.0.0.0.0_15400.ssl.{stat}$").text
    return int(text.rpartition(": ")[2] or 0)


@pytest.mark.parametrize(
    ("mode", "plain", "secured"),
    [
        ("off", "answered", "refused"),
        ("permissive", "answered", "closed"),
        ("strict", "refused", "closed"),
    ],
)
def test_who_is_no_member_is_served_as_the_mode_says(mesh, mode, plain, secured):
    say(mesh, mode)
    mesh.wait_until(lambda: listens_as(mesh, mode), PATIENCE, f"the ingresses of mode {mode}")
    assert outsider(mesh, "plain", 8080) == plain
    assert outsider(mesh, "tls", 15400) == secured
    assert told(mesh, "http://blue/")["version"] == "blue"  # a member is, in every mode


def test_what_is_no_handshake_and_what_shows_no_certificate_is_counted(mesh):
    say(mesh, "strict")
    broken, nameless = counted(mesh, "connection_error"), counted(mesh, "fail_verify_no_cert")
    assert outsider(mesh, "plain", 15400) == "closed"
    assert outsider(mesh, "tls", 15400) == "closed"
    mesh.wait_until(lambda: counted(mesh, "connection_error") > broken, PATIENCE, "the broken handshake")
    mesh.wait_until(lambda: counted(mesh, "fail_verify_no_cert") > nameless, PATIENCE, "the missing certificate")


RAW = "svc/lab/blue-raw"
CALLS = 20
OTHER = "spiffe://tsunagu.local/ns/lab/cluster/default/service/other"


def of_another():
    """The cluster of the tcp port, as if another service were behind it."""
    row = ServiceCluster("lab", Destination("blue-raw"), "tcp", 0, EndpointPolicy(), peers=(OTHER,))
    return "CDS", RAW, wire.encode(service_cluster(RAW, row))


def of_a_stranger():
    """Trust in an authority that has signed nobody here."""
    return "SDS", "trust", tls.trust(Codec(), AUTHORITY).body


@pytest.mark.parametrize(("wrong", "counter"), [(of_another, "fail_verify_san"), (of_a_stranger, "fail_verify_error")])
def test_a_caller_s_proxy_refuses_a_server_that_is_not_who_it_is_to_be(mesh, wrong, counter):
    say(mesh, "strict")
    kind, name, body = wrong()
    mesh.override("lab", kind, name, body)
    try:
        mesh.wait_converged()
        before = stat(mesh, f"cluster.{RAW}.ssl.{counter}")
        assert "blue" not in count(mesh, "tcp", CALLS, "blue:7000")
        assert stat(mesh, f"cluster.{RAW}.ssl.{counter}") > before
    finally:
        mesh.override("lab", kind, name)
    mesh.wait_converged()
    mesh.wait_until(lambda: count(mesh, "tcp", CALLS, "blue:7000") == {"blue": CALLS}, PATIENCE, "calls, as before")


def test_an_app_learns_who_calls_it_in_strict_mode_and_nobody_can_make_that_up(mesh):
    say(mesh, "strict")
    mine = "URI=spiffe://tsunagu.local/ns/lab/cluster/default/service/caller"
    found = told(mesh, "http://blue/", headers={"x-forwarded-client-cert": "URI=spiffe://evil"})
    assert mine in found["headers"]["x-forwarded-client-cert"]
    assert "evil" not in found["headers"]["x-forwarded-client-cert"]


def test_a_task_that_comes_in_strict_mode_serves_with_tls_alone_from_its_first_call_on(mesh):
    say(mesh, "strict")
    mesh.scale("blue", 3)
    mesh.wait_steady()
    assert in_force(mesh, "strict")
    assert len(states(mesh)) == 3
    assert listens_as(mesh, "strict")
    hosts = {told(mesh, "http://blue/")["host"] for _ in range(12)}
    assert len(hosts) == 3
    mesh.scale("blue", 2)
    mesh.wait_steady()


def test_a_service_with_tls_takes_nothing_else_in_a_namespace_without(mesh):
    say(mesh, "off")
    text = service("green", count=1).replace(
        "{portName: green,", "{portName: green, tls: {issuerCertificateAuthority: {}},"
    )
    mesh.apply(text=text)
    mesh.wait_steady()
    (task,) = mesh.tasks("green")
    assert list(task.task.status.tls.alone) == ["green"]
    assert listeners(mesh, task) == {"in", "tls"}  # its two other ports are as the namespace says
    assert told(mesh, "http://green/")["version"] == "green"


@pytest.mark.slow("three loads of 200 requests a second through eight changes of the mode")
def test_no_call_fails_while_the_mode_changes_to_strict_and_back(mesh):
    say(mesh, "off")
    plans = {
        "http://blue/": Plan(rps=RATE, late=20.0),
        "grpc://blue:9000/tsunagu.test.Echo/Say": Plan(rps=RATE, late=20.0),
        "tcp://blue:7000": Plan(rps=RATE, late=20.0, send=b"hello\n"),
    }
    with contextlib.ExitStack() as stack:
        loads = {url: stack.enter_context(mesh.load(url, plan)) for url, plan in plans.items()}
        for mode in ("permissive", "strict", "permissive", "off", "strict", "off"):
            for load in loads.values():
                load.wait_requests(60)
            say(mesh, mode)
            mesh.wait_until(lambda mode=mode: listens_as(mesh, mode), PATIENCE, f"the ingresses of mode {mode}")
        for load in loads.values():
            load.wait_requests(60)
        reports = {url: load.stop() for url, load in loads.items()}
    assert {url: (report.failed, report.first_failure) for url, report in reports.items()} == dict.fromkeys(
        reports, (0, "")
    )
