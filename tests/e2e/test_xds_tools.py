"""The tools that show xDS at work, on a mesh of real Envoys: hold, override, show, explain, and an Envoy as tables."""

import json
from pathlib import Path

import grpc
import pytest

from tests.e2e.commands import tsunagu
from tsunagu.cli.display import message
from tsunagu.kit.tokens import TOKEN
from tsunagu.testing import Mesh
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc
from tsunagu.xds import wire

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-shop"


@pytest.fixture(scope="module")
def mesh():
    with Mesh(EXAMPLE / "shop.yaml") as running:
        running.wait_steady()
        yield running


@pytest.fixture
def web(mesh) -> str:
    return mesh.task("web").meta.name


def newest(mesh, web, kind, after=0, of=""):
    return [event for event in mesh.timeline(proxy=web, type=of, after=after) if event.kind == kind][-1]


def last(mesh):
    return mesh.timeline()[-1].sequence


LISTENER = """
name: own
address: {socket_address: {address: 127.0.0.1, port_value: 15998}}
bind_to_port: false
stat_prefix: PREFIX
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: own
      cluster: blackhole
"""


def override(mesh, folder, text, kind="LDS", name="own"):
    file = folder / "own.yaml"
    file.write_text(text)
    tsunagu(mesh, "xds", "override", "shop", kind, name, file)


@pytest.mark.slow("a dozen runs of the command line")
def test_what_is_held_waits_is_shown_as_held_and_comes_when_it_is_released(mesh, web, tmp_path):
    since = last(mesh)
    name = web.rpartition("/")[2]
    assert f"LDS for {name} is kept back for 60s" in tsunagu(mesh, "xds", "hold", name, "LDS", "--for", "60s")
    override(mesh, tmp_path, LISTENER.replace("PREFIX", "first"))
    mesh.wait_until(lambda: "held" in tsunagu(mesh, "proxies", name), 60, "the hold in proxies")
    assert "STALE" in tsunagu(mesh, "proxies", name)
    assert "LDS held back for" in tsunagu(mesh, "wait", "--timeout", "0", code=7)
    others = [task.meta.name for task in mesh.tasks() if task.meta.name != web]
    mesh.wait_until(lambda: all(_synced(mesh, other) for other in others), 60, "all others")

    assert "no longer kept back" in tsunagu(mesh, "xds", "hold", "web", "LDS", "--release")
    mesh.wait_converged()
    assert "held" not in tsunagu(mesh, "proxies", name)
    told = tsunagu(mesh, "xds", "explain", "--proxy", name, "--since", "1m")
    assert f"An operator keeps LDS for {name} back, for 60 s at most." in told
    assert "by the rule" in told or "an operator kept it back (xds hold)" in told
    kinds = [event.kind for event in mesh.timeline(proxy=web, type="LDS", after=since)]
    assert kinds == ["hold", "hold", "send", "ack"]
    tsunagu(mesh, "xds", "override", "shop", "LDS", "own", "--remove")
    mesh.wait_converged()


def _synced(mesh, proxy):
    [one] = mesh.proxies(proxy)
    return all(kind.state == "SYNCED" for kind in one.types)


@pytest.mark.slow("a dozen runs of the command line")
def test_a_message_is_shown_with_what_is_different_and_still_after_it_was_replaced(mesh, web, tmp_path):
    since = last(mesh)
    override(mesh, tmp_path, LISTENER.replace("PREFIX", "first"))
    mesh.wait_converged()
    override(mesh, tmp_path, LISTENER.replace("PREFIX", "second"))
    mesh.wait_converged()
    sends = [event for event in mesh.timeline(proxy=web, type="LDS", after=since) if event.kind == "send"]
    tsunagu(mesh, "xds", "override", "shop", "LDS", "own", "--remove")
    mesh.wait_converged()

    first, second = (tsunagu(mesh, "xds", "show", event.sequence) for event in sends)
    assert "a DeltaDiscoveryResponse of" in first
    assert "ACK after" in first
    assert "    stat_prefix: first" in first
    assert "# own: new, as far as is known" in first
    assert f"# own: different from event {sends[0].sequence}" in second
    assert "-stat_prefix: first" in second
    assert "+stat_prefix: second" in second
    answer = newest(mesh, web, "ack", since, "LDS")
    assert f"response_nonce: {answer.nonce}" in tsunagu(mesh, "xds", "show", answer.sequence)
    assert "there is no event 99999999 yet" in tsunagu(mesh, "xds", "show", "99999999", code=4)


def test_every_message_of_a_boot_can_be_shown_and_none_shows_a_token(mesh, web):
    with grpc.insecure_channel(f"unix:{mesh.home.api_socket}") as channel:
        inspector = inspector_pb2_grpc.InspectorStub(channel)
        for event in mesh.timeline(proxy=web):
            shown = inspector.Message(inspector_pb2.MessageRequest(sequence=event.sequence), timeout=10)
            text = "\n".join([*message.heading(shown), str(message.document(shown)), *message.differences(shown)])
            assert shown.event.kind == event.kind
            assert "cannot be shown" not in text
            assert "no longer kept" not in text
            assert TOKEN.search(text) is None


def test_a_refusal_is_explained_with_its_words(mesh, web):
    mesh.override("shop", "LDS", "broken", wire.text(1, "broken"))
    mesh.wait_until(lambda: any(kind.state == "NACKED" for kind in mesh.proxies(web)[0].types), 60, "the NACK")
    told = tsunagu(mesh, "xds", "explain", "--since", "2m")
    assert "override of broken in shop." in told
    assert "It changes LDS broken." in told
    assert "REFUSED after" in told
    assert "address is necessary" in told
    nack = newest(mesh, web, "nack")
    shown = tsunagu(mesh, "xds", "show", nack.sequence)
    assert "error_detail:" in shown
    assert "address is necessary" in shown
    mesh.override("shop", "LDS", "broken")
    mesh.wait_converged()


def test_a_scaled_service_is_explained_from_the_change_to_the_last_answer(mesh):
    mesh.scale("inventory", 4)
    mesh.wait_steady()
    told = tsunagu(mesh, "xds", "explain", "--since", "2m")
    assert "It changes EDS svc/shop/inventory." in told
    assert "is told EDS svc/shop/inventory after" in told
    assert "accepted after" in told
    mesh.scale("inventory", 3)
    mesh.wait_steady()


def test_the_wide_log_has_numbers_nonces_and_versions(mesh, web):
    lines = tsunagu(mesh, "xds", "log", "--proxy", web, "--wide").splitlines()
    sends = [line for line in lines if "-> CDS is sent" in line]
    assert all(line.split()[0].isdecimal() for line in lines)
    assert "nonce " in sends[0]
    assert " version " in sends[0]
    assert "svc/shop/orders@" in sends[0]


def table(mesh, *words):
    return json.loads(tsunagu(mesh, "envoy", *words, "-o", "json"))


def test_one_can_follow_a_request_from_table_to_table(mesh, web):
    name = web.rpartition("/")[2]
    [out] = [row for row in table(mesh, name, "listeners") if row["name"] == "alias/shop/orders:80"]
    assert out["state"] == "active"
    assert out["address"].endswith(":80 (not bound)")
    [route] = [row for row in table(mesh, name, "routes") if f"route {row['name']}" == out["destination"]]
    assert (route["match"], route["retries"]) == ("/*", "2")
    [cluster] = [row for row in table(mesh, name, "clusters") if f"cluster {row['name']}" == route["destination"]]
    assert (cluster["type"], cluster["healthy"]) == ("EDS", "2/2")
    ends = [row for row in table(mesh, name, "endpoints") if row["cluster"] == cluster["name"]]
    assert {row["endpoint"].partition(":")[0] for row in ends} == {task.task.status.ip for task in mesh.tasks("orders")}
    assert {(row["status"], row["outlier_check"]) for row in ends} == {("HEALTHY", "OK")}


def test_the_tables_are_for_people_and_pages_are_as_envoy_writes_them(mesh, web):
    assert tsunagu(mesh, "envoy", web).splitlines()[0].split()[:3] == ["NAME", "TYPE", "STATE"]
    assert "xds " in tsunagu(mesh, "envoy", web, "clusters")
    assert "::added_via_api::" in tsunagu(mesh, "envoy", web, "/clusters")
    assert "-o is for" in tsunagu(mesh, "envoy", web, "stats", "-o", "json", code=2)
