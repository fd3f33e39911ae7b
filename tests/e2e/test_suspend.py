"""A machine that stands still, as when a laptop is closed. In a file of its own, so that other tests run meanwhile."""

import signal

import pytest

from tests.e2e.shop import PATIENCE, all_connected, load, standing, steady_shop, still_scales

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def shop():
    with steady_shop() as mesh:
        yield mesh


@pytest.mark.slow("everything is stopped for a minute, which is longer than any lease", seconds=70)
def test_all_stopped_for_a_minute(shop):
    """No lease is lost, no task replaced, and the load recovers."""
    before, (node,) = standing(shop), shop.objects("Node")
    tasks = {task.meta.name: task.meta.created_revision for task in shop.tasks()}
    everything = shop.processes().everything
    with load(shop) as on:
        healthy = on.wait_requests(50)
    with load(shop, seconds=60, timeout=5, late=1) as on:
        for process in everything:
            process.kill(signal.SIGSTOP)
        on.wait()
    for process in everything:
        process.kill(signal.SIGCONT)
    assert healthy.failed == 0
    shop.wait_until(lambda: all_connected(shop), PATIENCE, "the proxies' streams")
    shop.wait_until(lambda: shop.call("http://web/").status == 200, PATIENCE, "the first good answer")
    with load(shop) as again:
        report = again.wait_requests(300)
    assert report.failed == 0, report
    assert standing(shop) == before
    assert {task.meta.name: task.meta.created_revision for task in shop.tasks()} == tasks
    assert shop.objects("Node")[0].meta.created_revision == node.meta.created_revision
    still_scales(shop)
