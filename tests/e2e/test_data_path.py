"""What real Envoys do with calls: Service Connect's defaults as they hold them, and who takes what comes by address."""

import re
from pathlib import Path

import pytest

from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SHOP = Path(__file__).parents[2] / "examples" / "01-shop" / "shop.yaml"
NO_LIMIT = 2147483647

#: One app that speaks none of them: a task is admitted when its ports listen.
FOUR_PROTOCOLS = """
kind: TaskDefinition
family: all
networkMode: awsvpc
containerDefinitions:
- name: app
  image: all
  command:
  - python3
  - -c
  - |
    import signal, socket
    listening = [socket.create_server(("", port)) for port in (81, 82, 83, 84)]
    signal.pause()
  portMappings:
  - {name: one, containerPort: 81, appProtocol: http}
  - {name: two, containerPort: 82, appProtocol: http2}
  - {name: rpc, containerPort: 83, appProtocol: grpc}
  - {name: raw, containerPort: 84}
---
kind: Service
serviceName: all
taskDefinition: all
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: four
  services:
  - {portName: one, clientAliases: [{port: 81, dnsName: one}]}
  - {portName: two, clientAliases: [{port: 82, dnsName: two}]}
  - {portName: rpc, clientAliases: [{port: 83, dnsName: rpc}]}
  - {portName: raw, clientAliases: [{port: 84, dnsName: raw}]}
"""


class Held:
    """What one task's Envoy says that it has, by name."""

    def __init__(self, mesh, task):
        dump = mesh.envoy(task, "/config_dump").json()
        self._found = {}
        for config in dump["configs"]:
            for entry in (one for value in config.values() if isinstance(value, list) for one in value):
                self._keep(entry)

    def _keep(self, entry):
        for kind, body in (
            ("cluster", entry.get("cluster")),
            ("listener", entry.get("active_state", {}).get("listener")),
            ("route", entry.get("route_config")),
        ):
            if body:
                self._found[kind, body["name"]] = body

    def cluster(self, name):
        return self._found["cluster", name]

    def ingress(self, port):
        """The one filter's settings of the ingress listener for that port."""
        [name] = [name for kind, name in self._found if kind == "listener" and re.fullmatch(f"in/.*/{port}", name)]
        return self._filter(name)

    def egress(self, name):
        return self._filter(name)

    def route(self, name):
        [host] = self._found["route", name]["virtual_hosts"]
        [route] = host["routes"]
        return route["route"]

    def _filter(self, name):
        [chain] = self._found["listener", name]["filter_chains"]
        return chain["filters"][-1]["typed_config"]


@pytest.fixture(scope="module")
def held():
    with Mesh() as mesh:
        mesh.apply(text=FOUR_PROTOCOLS)
        mesh.wait_steady()
        yield Held(mesh, "all")


@pytest.mark.parametrize("port", ["one", "two", "rpc", "raw"])
def test_every_cluster_ejects_as_service_connect_does_and_limits_nothing(held, port):
    cluster = held.cluster(f"svc/four/{port}")
    outlier = cluster["outlier_detection"]
    assert (outlier["consecutive_5xx"], outlier["base_ejection_time"], outlier["max_ejection_time"]) == (
        5,
        "30s",
        "300s",
    )
    assert outlier["always_eject_one_host"] is True
    [threshold] = cluster["circuit_breakers"]["thresholds"]
    assert set(threshold.values()) == {NO_LIMIT}
    assert len(threshold) == 4
    assert cluster["connect_timeout"] == "1s"
    assert cluster.get("lb_policy", "ROUND_ROBIN") == "ROUND_ROBIN"


@pytest.mark.parametrize(
    ("port", "number", "protocol"), [("one", 81, "http"), ("two", 82, "http2"), ("rpc", 83, "http2")]
)
def test_requests_have_service_connect_s_times_and_retries(held, port, number, protocol):
    route = held.route(f"alias/four/{port}:{number}")
    assert (route["timeout"], route["idle_timeout"]) == ("15s", "300s")
    retry = route["retry_policy"]
    assert retry["num_retries"] == 2
    assert [one["name"] for one in retry["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]
    assert ("unavailable" in retry["retry_on"].split(",")) is (port == "rpc")
    assert retry["retriable_status_codes"] == [503]
    [options] = held.cluster(f"svc/four/{port}")["typed_extension_protocol_options"].values()
    assert f"{protocol}_protocol_options" in options["explicit_http_config"]


def test_tcp_has_its_hour_where_it_comes_in_and_two_more_tries_to_connect(held):
    assert held.egress("alias/four/raw:84")["max_connect_attempts"] == 3
    assert held.egress("alias/four/raw:84")["idle_timeout"] == "0s"  # docs/adr/0008
    assert held.ingress("raw").get("idle_timeout", "3600s") == "3600s"


def counter(mesh, task, name):
    text = mesh.envoy(task, f"/stats?filter=^{re.escape(name)}$").text
    return int(text.split(":")[1])


@pytest.fixture(scope="module")
def shop():
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        yield mesh


def test_a_request_to_a_task_s_address_passes_its_envoy(shop):
    name = "http.ingress.http.downstream_rq_completed"
    address = shop.task("inventory").task.status.ip
    before = counter(shop, "inventory", name)
    assert shop.call(f"http://{address}:80/items", from_task="web").status == 200
    shop.wait_until(lambda: counter(shop, "inventory", name) == before + 1, 60, "the request is counted")


def test_a_tcp_connection_to_a_task_s_address_passes_its_envoy(shop):
    name = "tcp.ingress.lines.downstream_cx_total"
    address = shop.task("stock").task.status.ip
    before = counter(shop, "stock", name)
    ask = "import socket; s=socket.create_connection(({!r}, 3306), 5); s.sendall(b'GET apples\\n'); print(s.makefile().readline())"
    assert shop.execute("web", "python3", "-c", ask.format(address)).text.startswith("apples 42 stock-")
    assert counter(shop, "stock", name) == before + 1
