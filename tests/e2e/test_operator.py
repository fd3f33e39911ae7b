"""What operators look at, on a mesh of real Envoys: CSDS, the comparison with Envoy, recordings."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 as tcp
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.service.status.v3 as csds
import envoy_data_plane.envoy.type.matcher.v3 as matchers
import envoy_data_plane.envoy.type.v3 as kinds
import grpc
import pytest
from envoy_data_plane.google.protobuf import Any, Struct

from tests.e2e.commands import tsunagu
from tsunagu.cli.compare import compare, config_dump
from tsunagu.cli.recording import Recording
from tsunagu.testing import Mesh
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-shop"
ADS = core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3)
SERVICE = "/envoy.service.status.v3.ClientStatusDiscoveryService/"
KEY = "MIIE-never-to-be-seen"


@pytest.fixture(scope="module")
def mesh():
    with Mesh(EXAMPLE / "shop.yaml") as running:
        running.wait_steady()
        yield running


@pytest.fixture
def orders(mesh) -> str:
    return mesh.task("orders").meta.name


def differences(mesh, task):
    shown = json.loads(tsunagu(mesh, "proxies", task.rpartition("/")[2], "--diff", "-o", "json", code=8))
    return {(one["type"], one["name"]): one for one in shown["resources"] if one["verdict"] != "same"}


def test_a_converged_mesh_has_no_differences(mesh):
    for service in ("orders", "web"):
        shown = tsunagu(mesh, "proxies", mesh.task(service).meta.name, "--diff")
        assert "same" in shown
        assert "same of" not in shown
        assert "of its bootstrap, not compared: 1 CDS" in shown


def compared_by_content(mesh, task):
    """As `--diff`, but blind to versions: every resource is compared by what it says."""
    with grpc.insecure_channel(f"unix:{mesh.home.api_socket}") as channel:
        request = inspector_pb2.ResourcesRequest(proxy=task)
        wanted = inspector_pb2_grpc.InspectorStub(channel).Resources(request, timeout=10)
    held = config_dump.read(json.loads(mesh.envoy(task, config_dump.PAGE).body))
    for entry in held.entries.values():
        for state in ("active", "warming"):
            if one := getattr(entry, state):
                setattr(entry, state, dataclasses.replace(one, version="unknown"))
    return compare.compare(wanted.resources, held)


def test_content_says_the_same_as_versions(mesh):
    for task in mesh.tasks():
        verdicts = compared_by_content(mesh, task.meta.name)
        assert [one for one in verdicts if one.word != compare.SAME] == []
        assert {one.type for one in verdicts} == {"CDS", "EDS", "LDS", "RDS"}


def host(port, **fields):
    address = core.Address(socket_address=core.SocketAddress(address="127.0.0.1", port_value=port))
    return endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address, hostname="h.local"), **fields)


def rich_cluster():
    return clusters.Cluster(
        name="rich",
        type=clusters.ClusterDiscoveryType.EDS,
        eds_cluster_config=clusters.ClusterEdsClusterConfig(eds_config=ADS, service_name="rich-endpoints"),
        connect_timeout=timedelta(milliseconds=250),
        outlier_detection=clusters.OutlierDetection(consecutive_5xx=7, interval=timedelta(seconds=1.5)),
        common_lb_config=clusters.ClusterCommonLbConfig(healthy_panic_threshold=kinds.Percent(value=33.3)),
        metadata=core.Metadata(filter_metadata={"own": Struct.from_dict({"number": 3, "words": ["a", "b"]})}),
        per_connection_buffer_limit_bytes=70000,
    )


def rich_assignment():
    near = endpoints.LocalityLbEndpoints(
        locality=core.Locality(region="r", zone="z"),
        load_balancing_weight=4,
        lb_endpoints=[
            host(9002, health_status=core.HealthStatus.DRAINING),
            host(9001, load_balancing_weight=3),
            host(9003, health_status=core.HealthStatus.DEGRADED),
        ],
    )
    far = endpoints.LocalityLbEndpoints(
        priority=1, lb_endpoints=[host(9004, health_status=core.HealthStatus.UNHEALTHY), host(9005)]
    )
    return endpoints.ClusterLoadAssignment(
        cluster_name="rich-endpoints",
        endpoints=[near, far, endpoints.LocalityLbEndpoints(locality=core.Locality(zone="empty"))],
        policy=endpoints.ClusterLoadAssignmentPolicy(overprovisioning_factor=150),
    )


@pytest.fixture
def rich(mesh):
    """Resources of another making than translation's, with much that Envoy spells or fills in otherwise."""
    mesh.override("shop", "EDS", "rich-endpoints", bytes(rich_assignment()))
    mesh.override("shop", "CDS", "rich", bytes(rich_cluster()))
    mesh.wait_converged()
    yield
    mesh.override("shop", "CDS", "rich")
    mesh.override("shop", "EDS", "rich-endpoints")
    mesh.wait_converged()


@pytest.mark.usefixtures("rich")
def test_what_envoy_spells_otherwise_is_no_difference(mesh, orders):
    verdicts = {(one.type, one.name): one for one in compared_by_content(mesh, orders)}
    assert verdicts["CDS", "rich"].word == compare.SAME, verdicts["CDS", "rich"]
    assert verdicts["EDS", "rich-endpoints"].word == compare.SAME, verdicts["EDS", "rich-endpoints"]
    tsunagu(mesh, "proxies", orders, "--diff")


def tcp_listener(name, *, address=True, key=""):
    packed = Any.pack(tcp.TcpProxy(stat_prefix="x", cluster="blackhole"))
    chain = listeners.FilterChain(filters=[listeners.Filter(name="tcp", typed_config=packed)])
    if key:
        certificate = tls.TlsCertificate(
            certificate_chain=core.DataSource(inline_string="none"), private_key=core.DataSource(inline_string=key)
        )
        context = tls.DownstreamTlsContext(common_tls_context=tls.CommonTlsContext(tls_certificates=[certificate]))
        chain.transport_socket = core.TransportSocket(
            name="envoy.transport_sockets.tls", typed_config=Any.pack(context)
        )
    place = core.Address(socket_address=core.SocketAddress(address="127.0.0.1", port_value=15999))
    return listeners.Listener(name=name, address=place if address else None, filter_chains=[chain], bind_to_port=False)


def refusals(mesh, task, name):
    """The type's state once it is refused."""

    def found():
        shown = json.loads(tsunagu(mesh, "proxies", task, "-o", "json"))[0]["types"]
        return [kind for kind in shown if kind["state"] == "NACKED" and name in kind.get("rejected", ())]

    return mesh.wait_until(found, 60, f"the refusal of {name}")


@pytest.mark.case(139)
def test_a_refused_resource_is_shown_with_its_words_until_it_is_gone(mesh, orders):
    mesh.override("shop", "LDS", "bad", bytes(tcp_listener("bad", address=False)))
    [kind] = refusals(mesh, orders, "bad")
    assert (kind["type"], kind["rejected"]) == ("LDS", ["bad"])
    assert "LDS bad: " in tsunagu(mesh, "proxies", orders)

    [(key, one)] = differences(mesh, orders).items()
    assert (key, one["verdict"]) == (("LDS", "bad"), "refused")
    assert "address" in one["why"]
    text = tsunagu(mesh, "proxies", orders, "--diff", code=8)
    assert "LDS   bad   refused  " in text
    assert "LDS 6 same of 7" in text

    mesh.override("shop", "LDS", "bad")
    mesh.wait_converged()
    assert "NACKED" not in tsunagu(mesh, "proxies", orders)
    tsunagu(mesh, "proxies", orders, "--diff")


def test_a_refused_change_shows_what_envoy_has_instead(mesh, orders):
    good = tcp_listener("changing")
    mesh.override("shop", "LDS", "changing", bytes(good))
    mesh.wait_converged()
    good.stat_prefix, good.filter_chains[0].filters[0].name = "changed", ""
    mesh.override("shop", "LDS", "changing", bytes(good))
    refusals(mesh, orders, "changing")

    one = differences(mesh, orders)["LDS", "changing"]
    assert one["verdict"] == "refused"
    assert one["why"].startswith("[its content]: Proto constraint validation failed")
    assert "-stat_prefix: changed" in one["diff"]
    mesh.override("shop", "LDS", "changing")
    mesh.wait_converged()


def test_a_key_in_a_refused_listener_is_not_shown(mesh, orders):
    mesh.override("shop", "LDS", "tls", bytes(tcp_listener("tls", key=KEY)))
    refusals(mesh, orders, "tls")
    assert KEY not in tsunagu(mesh, "proxies", orders, "--diff", code=8)
    assert KEY not in tsunagu(mesh, "xds", "log", "--type", "LDS")
    mesh.override("shop", "LDS", "tls")
    mesh.wait_converged()


def test_a_cluster_that_warms_is_shown_as_one(mesh, orders):
    """It waits for a certificate authority, and Envoy for it: it acknowledges the cluster only then."""
    source = core.ConfigSource(
        ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3, initial_fetch_timeout=timedelta(0)
    )
    authority = tls.SdsSecretConfig(name="authority", sds_config=source)
    context = tls.UpstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(validation_context_sds_secret_config=authority)
    )
    warms = clusters.Cluster(
        name="warms",
        connect_timeout=timedelta(seconds=1),
        transport_socket=core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context)),
    )
    mesh.override("shop", "CDS", "warms", bytes(warms))

    def warming():
        return [one for one in compared_by_content(mesh, orders) if one.word == compare.WARMING]

    [found] = mesh.wait_until(warming, 60, "warming")
    assert (found.type, found.name, found.why[:23]) == ("CDS", "warms", "sent and not acknowledg")
    assert differences(mesh, orders)["CDS", "warms"]["verdict"] == "warming"

    secret = tls.Secret(name="authority", validation_context=tls.CertificateValidationContext())
    mesh.override("shop", "SDS", "authority", bytes(secret))
    mesh.wait_converged()
    assert "SDS 1 same" in tsunagu(mesh, "proxies", orders, "--diff")
    mesh.override("shop", "CDS", "warms")
    mesh.wait_converged()
    mesh.override("shop", "SDS", "authority")


@pytest.mark.case(139)
def test_an_envoy_that_hangs_is_stale_and_says_so(mesh, orders):
    mesh.kill(f"envoy:{orders}", signal.SIGSTOP)
    try:
        mesh.override("shop", "EDS", "rich-endpoints", bytes(rich_assignment()))  # nobody asks for it
        listener = bytes(tcp_listener("unheard"))
        mesh.override("shop", "LDS", "unheard", listener)

        def stale():
            return "STALE for" in tsunagu(mesh, "proxies", orders)

        mesh.wait_until(stale, 60, "STALE")
        words = tsunagu(mesh, "proxies", orders, "--diff", code=1)
        assert "does not answer: no answer from Envoy" in words
    finally:
        mesh.kill(f"envoy:{orders}", signal.SIGCONT)
    mesh.wait_converged()
    tsunagu(mesh, "proxies", orders, "--diff")
    for kind, name in (("LDS", "unheard"), ("EDS", "rich-endpoints")):
        mesh.override("shop", kind, name)
    mesh.wait_converged()


@pytest.mark.case(140)
def test_after_a_restart_of_the_control_plane_everyone_is_known_again(mesh, orders):
    mesh.kill("serve")
    mesh.wait_until(mesh.answers, 60, "the control plane")
    mesh.wait_converged()
    shown = json.loads(tsunagu(mesh, "proxies", "-o", "json"))
    assert {kind["state"] for proxy in shown for kind in proxy["types"]} == {"SYNCED"}
    assert all(proxy["connected"] for proxy in shown)
    tsunagu(mesh, "proxies", orders, "--diff")


def test_which_proxy_is_compared_must_be_said(mesh):
    assert "there is no proxy 'nobody'" in tsunagu(mesh, "proxies", "nobody", "--diff", code=4)
    assert "'inventory' can mean 3 proxies" in tsunagu(mesh, "proxies", "inventory", "--diff", code=2)
    assert "which proxy" in tsunagu(mesh, "proxies", "--diff", code=2)


def fetch(mesh, *matcher, bodies=False):
    request = csds.ClientStatusRequest(node_matchers=list(matcher), exclude_resource_contents=not bodies)
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"unix:{mesh.home.api_socket}", options=options) as channel:
        answer = channel.unary_unary(SERVICE + "FetchClientStatus")(bytes(request), timeout=20)
    return csds.ClientStatusResponse.parse(answer).config


def test_csds_shows_every_envoy_and_each_of_its_resources(mesh, orders):
    configs = {config.node.id: config for config in fetch(mesh)}
    assert sorted(configs) == sorted(task.meta.name for task in mesh.tasks())
    one = configs[orders]
    assert one.node.user_agent_name == "envoy"
    assert {each.config_status for each in one.generic_xds_configs} == {csds.ConfigStatus.SYNCED}
    assert {each.type_url for each in one.generic_xds_configs} == {CDS, EDS, LDS, RDS}
    assert ("svc/shop/stock", True) in {(each.name, bool(each.version_info)) for each in one.generic_xds_configs}


def test_csds_of_one_node_with_contents_that_decode(mesh, orders):
    matcher = matchers.NodeMatcher(node_id=matchers.StringMatcher(exact=orders))
    [config] = fetch(mesh, matcher, bodies=True)
    bodies = {(each.type_url, each.name): each.xds_config.value for each in config.generic_xds_configs}
    assert clusters.Cluster.parse(bodies[CDS, "svc/shop/stock"]).name == "svc/shop/stock"
    assert listeners.Listener.parse(bodies[LDS, "capture"]).use_original_dst


def test_a_recording_replays_as_the_log_was(mesh, tmp_path):
    path = tmp_path / "run.jsonl"
    log = tsunagu(mesh, "xds", "log", "--type", "CDS", "--record", path)
    replay = subprocess.run(
        [sys.executable, "-m", "tsunagu.cli", "xds", "replay", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert replay.stdout == log
    assert "CDS wants" in log
    text = path.read_text()
    assert "v1." not in text
    assert "Bearer" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_that_is_ended_by_a_signal_is_whole(mesh, tmp_path, number):
    path = tmp_path / "run.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "tsunagu.cli", "xds", "log", "--follow", "--record", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TSUNAGU_HOME": str(mesh.home.root)},
    ) as following:
        assert following.stdout.readline()
        following.send_signal(number)
        following.stdout.read()
        assert following.wait(60) == 128 + number
    assert len(list(Recording(path))) > 0


def test_an_override_provokes_a_nack_that_heals_when_it_is_removed(mesh, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: broken\nstat_prefix: broken\n")
    assert "LDS broken of namespace shop is overridden" in tsunagu(
        mesh, "xds", "override", "shop", "LDS", "broken", bad
    )
    mesh.wait_until(lambda: "address is necessary" in tsunagu(mesh, "proxies"), 60, "the NACKs")
    assert "overridden no more" in tsunagu(mesh, "xds", "override", "shop", "LDS", "broken", "--remove")
    mesh.wait_converged(60)
