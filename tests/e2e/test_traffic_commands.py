"""`tsunagu top`, `tsunagu metrics` and `up --metrics` on a running mesh."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.commands import tsunagu
from tsunagu.cli.errors import NOT_FOUND, USAGE
from tsunagu.testing import Mesh, Plan
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SHOP = Path(__file__).parents[2] / "examples" / "01-shop" / "shop.yaml"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def shop():
    """A shop whose samples hold a hundred requests."""
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        with mesh.load("http://web/", Plan(late=60, rps=50, connections=4, seconds=2)) as load:
            report = load.wait()
        assert report.failed == 0, report
        assert report.requests == 100
        mesh.wait_until(lambda: set(counted(mesh)) == {100}, PATIENCE, "all requests, in the samples of every proxy")
        yield mesh


def counted(mesh):
    """The requests to each service, as its own proxies have counted them, and as those of its callers."""
    for service in ("web", "orders", "inventory"):
        found = [one.flow for one in mesh.apis.windows(service=f"default/{service}")]
        for direction in ("ingress", "egress"):
            yield sum(one.requests for one in found if (one.direction, one.discovery_name) == (direction, service))


def rows(text):
    """The words of each line."""
    return [line.split() for line in text.splitlines() if line.strip()]


def test_top_shows_services_and_callers(shop):
    shown = tsunagu(shop, "top", "--over", "10m")
    lines = rows(shown)
    assert lines[0][:3] == ["SERVICE", "NAME", "TASKS"]
    [inventory] = [line for line in lines if line[:2] == ["inventory", "inventory"]]
    assert inventory[2] == "3"
    assert "100.00" in inventory
    [edge] = [line for line in lines if line[:2] == ["orders", "inventory"]]
    assert edge[3:5] == ["100.00", "%"]
    assert any(line[0] == "gateway" and "web" in line for line in lines)


def test_top_as_json_has_every_count(shop):
    found = json.loads(tsunagu(shop, "top", "--over", "10m", "--by-task", "-o", "json"))
    counts = [
        int(one["flow"]["requests"])
        for one in found
        if one["flow"]["direction"] == "ingress" and one["source"]["service"] == "inventory"
    ]
    assert len(counts) == 3
    assert sum(counts) == 100


def test_metrics_of_a_service_minute_by_minute(shop):
    shown = tsunagu(shop, "metrics", "orders", "--since", "10m", "--step", "10m")
    assert "serves orders" in shown
    assert "web calls orders" in shown
    assert "orders calls inventory" in shown


def test_metrics_as_json_have_cloudwatch_s_names(shop):
    found = json.loads(tsunagu(shop, "metrics", "orders", "--since", "10m", "--step", "10m", "-o", "json"))["metrics"]
    by_caller = {
        (one["MetricName"], tuple((each["Name"], each["Value"]) for each in one["Dimensions"])): (
            one["Value"],
            one["Unit"],
        )
        for one in found
    }
    caller = (("TargetDiscoveryName", "orders"), ("ServiceName", "web"), ("ClusterName", "default"))
    assert (
        sum(
            value
            for (name, its), (value, _) in by_caller.items()
            if (name, its) == ("HTTPCode_Target_2XX_Count", caller)
        )
        == 100
    )
    assert by_caller["TargetResponseTime", caller][1] == "Milliseconds"
    assert by_caller["RequestCount", (("DiscoveryName", "orders"),)] == (100, "Count")


def test_a_service_that_is_not_there_and_times_that_are_none_are_said(shop):
    assert "there is no service 'nobody'" in tsunagu(shop, "metrics", "nobody", code=NOT_FOUND).lower()
    assert "is no duration" in tsunagu(shop, "top", "--over", "soon", code=USAGE)
    assert "since is 7200 s" in tsunagu(shop, "top", "--over", "2h", code=USAGE)


@pytest.mark.slow("a mesh from its start to its end")
def test_up_answers_prometheus(tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tsunagu.cli",
        "up",
        str(SHOP),
        "--home",
        str(tmp_path / "m"),
        "--metrics",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as up:
        try:
            deadline = time.monotonic() + PATIENCE
            while b"tsunagu_ingress_requests_total{" not in scraped(port):
                assert time.monotonic() < deadline, "no samples were scraped"
                time.sleep(0.5)
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=90)
    assert scraped(port) == b""


def scraped(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""
