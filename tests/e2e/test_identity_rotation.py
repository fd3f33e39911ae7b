"""Certificates change under load, of tasks (a short life) and of the authority, and no request of http, gRPC or tcp fails."""

import contextlib

import pytest

from tests.e2e.test_mutual_tls import in_force
from tests.e2e.traffic_lab import PATIENCE, lab, service
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

RATE = 200 / 3  # requests a second of each protocol
PLANS = {
    "http://blue/": Plan(rps=RATE, late=20.0),
    "grpc://blue:9000/tsunagu.test.Echo/Say": Plan(rps=RATE, late=20.0),
    "tcp://blue:7000": Plan(rps=RATE, late=20.0, send=b"hello\n"),
}


@pytest.fixture(scope="module")
def mesh():
    with Mesh(environment={"TSUNAGU_LEAF_SECONDS": "18"}) as mesh:
        mesh.apply(text=lab(service("blue", count=2)))
        mesh.wait_steady()
        for port in (80, 9000, 7000):
            mesh.publish("blue", port)
        mesh.apply(text="{kind: Namespace, name: lab, tls: strict}")
        mesh.wait_until(lambda: in_force(mesh, "strict"), PATIENCE, "TLS alone")
        mesh.wait_converged()
        yield mesh


def identities(mesh):
    return {task.meta.name: task.task.status.identity for task in mesh.tasks()}


def bundle(mesh):
    return mesh.get("TrustBundle", "default").trust_bundle


@contextlib.contextmanager
def no_request_fails(mesh):
    """Three loads of 200 requests a second in all, for as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        loads = {url: stack.enter_context(mesh.load(url, plan)) for url, plan in PLANS.items()}
        for load in loads.values():
            load.wait_requests(60)
        yield
        for load in loads.values():
            load.wait_requests(60)
        reports = {url: load.stop() for url, load in loads.items()}
    assert {url: (one.failed, one.first_failure) for url, one in reports.items()} == dict.fromkeys(reports, (0, ""))


@pytest.mark.slow("certificates that are good for eighteen seconds are renewed twice")
def test_no_request_fails_while_certificates_are_renewed(mesh):
    with no_request_fails(mesh):
        for _ in range(2):
            before = identities(mesh)
            mesh.wait_until(
                lambda before=before: all(
                    one.serial != before[name].serial for name, one in identities(mesh).items() if name in before
                ),
                PATIENCE,
                "another certificate of each task",
            )


@pytest.mark.slow("three loads of 200 requests a second through a rotation, which waits five seconds at its end")
def test_no_request_fails_while_the_authority_is_replaced(mesh):
    old = bundle(mesh).signs

    def ask(obj):
        obj.trust_bundle.rotations_wanted += 1

    with no_request_fails(mesh):
        mesh.apis.update("TrustBundle", "default", ask)
        mesh.wait_until(
            lambda: bundle(mesh).phase == "STEADY" and bundle(mesh).signs != old, PATIENCE, "the end of the rotation"
        )
    (left,) = bundle(mesh).authorities
    assert {one.issuer for one in identities(mesh).values()} == {left.fingerprint}
