"""A whole mesh whose sidecars speak the older variant of xDS: it starts, serves, and rolls out as one of delta does."""

import grpc
import pytest

from tests.e2e.shop import SHOP, load, running
from tsunagu.cli.display import message
from tsunagu.testing import Mesh
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc
from tsunagu.xds import wire

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def mesh():
    with Mesh(SHOP, xds="sotw") as shop:
        shop.wait_steady()
        shop.publish("web")
        yield shop


def test_every_sidecar_speaks_the_state_of_the_world(mesh):
    assert {proxy.variant for proxy in mesh.proxies() if proxy.connected} == {"sotw"}
    mesh.wait_until(
        lambda: {kind.state for proxy in mesh.proxies() for kind in proxy.types} == {"SYNCED"}, 60, "all are synced"
    )
    assert mesh.call("http://orders/orders", from_task="web").status == 200


def test_a_nack_bears_the_nonce_that_it_refuses_and_the_version_that_was_accepted(mesh):
    web = mesh.task("web").meta.name
    accepted = [event for event in mesh.timeline(proxy=web, type="LDS") if event.kind == "ack"][-1]
    mesh.override("shop", "LDS", "broken", wire.text(1, "broken"))

    def refused():
        return [event for event in mesh.timeline(proxy=web, type="LDS") if event.kind == "nack"]

    [nack] = mesh.wait_until(refused, 60, "the NACK")
    sent = [event for event in mesh.timeline(proxy=web, type="LDS") if event.kind == "send"][-1]
    assert (nack.nonce, nack.version) == (sent.nonce, accepted.version)
    assert sent.version != accepted.version
    with grpc.insecure_channel(f"unix:{mesh.home.api_socket}") as channel:
        request = inspector_pb2.MessageRequest(sequence=nack.sequence)
        shown = message.document(inspector_pb2_grpc.InspectorStub(channel).Message(request, timeout=10))
    assert shown["version_info"] == accepted.version
    assert shown["response_nonce"] == sent.nonce
    assert "address is necessary" in shown["error_detail"]["message"]
    mesh.override("shop", "LDS", "broken")
    mesh.wait_converged()


def test_a_request_names_everything_that_is_wanted(mesh):
    web = mesh.task("web").meta.name
    asks = [event for event in mesh.timeline(proxy=web, type="EDS") if event.kind == "subscribe"][-1]
    assert set(asks.names) <= set(asks.asked)
    assert "svc/shop/orders" in asks.asked


def test_a_started_again_envoy_still_does(mesh):
    task = mesh.task("web").meta.name
    since = mesh.timeline(proxy=task)[-1].sequence
    mesh.kill(f"envoy:{task}")

    def connected():
        return [event.detail for event in mesh.timeline(proxy=task, after=since) if event.kind == "connect"]

    [detail] = mesh.wait_until(connected, 60, "the new Envoy")
    assert detail.startswith("sotw ")
    mesh.wait_steady()


@pytest.mark.slow("a replacement under load, with its drain")
def test_a_task_is_replaced_without_a_failed_request(mesh):
    first = running(mesh, "orders")
    with load(mesh) as going:
        going.wait_requests(100)
        mesh.stop(min(first))
        mesh.wait_until(lambda: len(running(mesh, "orders") - first) == 1, 60, "the replacement")
        mesh.wait_steady()
        going.wait_requests(200)
    report = going.report()
    assert report.failed == 0, report
