"""A whole mesh whose sidecars speak the older variant of xDS: it starts, serves, and rolls out as one of delta does."""

import pytest

from tests.e2e.shop import SHOP, load, running
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def mesh():
    with Mesh(SHOP, xds="sotw") as shop:
        shop.wait_steady()
        shop.publish("web")
        yield shop


def test_every_sidecar_speaks_the_state_of_the_world(mesh):
    assert {proxy.variant for proxy in mesh.proxies() if proxy.connected} == {"sotw"}
    assert {kind.state for proxy in mesh.proxies() for kind in proxy.types} == {"SYNCED"}
    assert mesh.call("http://orders/orders", from_task="web").status == 200


def test_a_started_again_envoy_still_does(mesh):
    task = mesh.task("web").meta.name
    since = mesh.timeline(proxy=task)[-1].sequence
    mesh.kill(f"envoy:{task}")

    def connected():
        return [event.detail for event in mesh.timeline(proxy=task, after=since) if event.kind == "connect"]

    [detail] = mesh.wait_until(connected, 20, "the new Envoy")
    assert detail.startswith("sotw ")
    mesh.wait_steady()


@pytest.mark.slow("a replacement under load, with its drain")
def test_a_task_is_replaced_without_a_failed_request(mesh):
    first = running(mesh, "orders")
    with load(mesh) as going:
        going.wait_requests(100)
        mesh.stop(min(first))
        mesh.wait_until(lambda: len(running(mesh, "orders") - first) == 1, 30, "the replacement")
        mesh.wait_steady()
        going.wait_requests(going.report().requests + 200)
    report = going.report()
    assert report.failed == 0, report
