"""The distribution's Prometheus scrapes a mesh with the files of deploy/prometheus, and answers each query of the dashboard.

Without Prometheus (Debian's package `prometheus`) these tests are skipped; with CI set they fail.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tsunagu.testing import Mesh, Plan
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "prometheus"
SHOP = ROOT / "examples" / "01-shop" / "shop.yaml"
PATIENCE = 60.0
#: What is absent while nothing of its kind happens: nobody was ejected, nothing failed, nothing left the mesh.
QUIET = {
    "Ejected endpoints",
    "Response flags",
    "Connections out of the mesh",
    "Bytes to places outside",
    "Refused out of the mesh",
}


def tool(name):
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, which .ci/run does")
        pytest.skip(f"{name} is not installed (Debian's package `prometheus`)")
    return found


def dashboard():
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "deploy" / "grafana" / "dashboard.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Prometheus:
    """A running Prometheus that scrapes the exporter at `port`."""

    def __init__(self, folder, port):
        self._port = free_port()
        for file in DEPLOYED.glob("*.yml"):
            text = (
                file.read_text()
                .replace("127.0.0.1:9464", f"127.0.0.1:{port}")
                .replace("_interval: 15s", "_interval: 2s")
            )
            (folder / file.name).write_text(
                text.replace("_interval: 5s", "_interval: 2s").replace("timeout: 4s", "timeout: 2s")
            )
        self._log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, text):
        """(labels, value) of each series."""
        return [(one["metric"], float(one["value"][1])) for one in self.get("query", query=text)["result"]]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._log.close()


def wait(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.2)
    return found


def answers(prometheus, text):
    """What Prometheus says, or nothing while it does not answer."""
    try:
        return prometheus.query(text)
    except OSError:
        return []


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """A shop under load, its exporter, and a Prometheus that has seen some of it."""
    tool("prometheus")
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        port = free_port()
        exporter = subprocess.Popen(
            [sys.executable, "-P", "-m", "tsunagu.metrics.process", str(mesh.home.root), "127.0.0.1", str(port)]
        )
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), port)
        try:
            with mesh.load("http://web/", Plan(late=60, rps=50, connections=4)) as load:
                wait(lambda: answers(prometheus, "rate(tsunagu_target_requests_total[1m]) > 0"), "a rate")
                wait(lambda: answers(prometheus, "tsunagu:target_failures:ratio1m"), "the recording rules")
                yield mesh, prometheus, load
        finally:
            prometheus.end()
            exporter.terminate()
            exporter.wait(60)


def filled(query):
    """A query of the dashboard with values for its variables."""
    values = {"$namespace": ".*", "$service": ".*", "$target": ".*", "$__rate_interval": "1m"}
    for variable, value in values.items():
        query = query.replace(variable, value)
    return query


@pytest.mark.slow("Prometheus needs several scrapes for a rate")
def test_every_query_of_the_dashboard_is_answered(scraped):
    """Each by its time: a proxy is read every few seconds, and a rate wants two scrapes of what it counts."""
    _, prometheus, _ = scraped
    panels = [panel for _, row in dashboard().ROWS for panel in row if panel.title not in QUIET]
    for panel in panels:
        for query, _ in panel.queries:
            asked = filled(query)
            wait(lambda asked=asked: prometheus.query(asked), f"an answer for {panel.title!r}")
    for panel in (panel for _, row in dashboard().ROWS for panel in row if panel.title in QUIET):
        for query, _ in panel.queries:
            prometheus.query(filled(query))  # raises for what is no query


def test_prometheus_counts_what_the_load_generator_does(scraped):
    _, prometheus, load = scraped
    load.wait_requests(50)
    report = load.stop()
    assert report.failed == 0, report
    counted = 'sum(tsunagu_target_responses_total{target="web",class="2xx"})'
    wait(
        lambda: [value for _, value in prometheus.query(counted)] == [report.succeeded], f"{report.succeeded} responses"
    )
    served = 'sum(tsunagu_ingress_requests_total{service="web"})'
    wait(lambda: [value for _, value in prometheus.query(served)] == [report.requests], f"{report.requests} requests")
    timed = 'sum(tsunagu_target_response_seconds_count{target="web"})'
    wait(lambda: [value for _, value in prometheus.query(timed)] == [report.succeeded], f"{report.succeeded} times")


def test_the_alerts_are_known_and_none_that_a_healthy_mesh_would_not_have_fires(scraped):
    _, prometheus, _ = scraped
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def test_a_control_plane_that_dies_is_a_target_that_is_down_and_counts_go_on_after_it(scraped):
    mesh, prometheus, _ = scraped
    counted = 'sum(tsunagu_target_responses_total{target="web",class="2xx"})'
    [(_, before)] = wait(lambda: answers(prometheus, counted), "a count")  # a scrape may just have been late
    first = mesh.processes().serve.pid
    mesh.kill("serve")
    mesh.wait_until(lambda: mesh.answers() and mesh.processes().serve.pid != first, PATIENCE, "another serve")
    wait(lambda: [value for _, value in answers(prometheus, counted)] == [before], "the same count")
    resets = answers(prometheus, 'sum(resets(tsunagu_target_responses_total{target="web",class="2xx"}[5m]))')
    assert [value for _, value in resets] == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_promtool_finds_nothing_wrong(arguments):
    found = subprocess.run([tool("promtool"), *arguments], cwd=DEPLOYED, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_dashboard_is_the_one_that_is_made():
    assert dashboard().FILE.read_text() == dashboard().text()


def test_the_exporter_s_own_text_is_as_prometheus_wants_it(scraped):
    mesh, _, _ = scraped
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tsunagu.metrics.process", str(mesh.home.root), "127.0.0.1", str(port)]
    ) as exporter:
        try:
            text = wait(lambda: scrape(port), "an answer of the exporter")
        finally:
            exporter.terminate()
    found = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def scrape(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read()
    except OSError:
        return None
