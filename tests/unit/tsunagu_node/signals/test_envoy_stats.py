"""What Envoy's stats mean: each number is read once, from the stat that says it, and duplicates are not."""

import re

import pytest

from tsunagu.mesh.traffic.model import Destination
from tsunagu.translate import flagged, names
from tsunagu.v1 import objects_pb2
from tsunagu_node.signals.envoy_stats import FILTER, FlowReader

PORTS = (
    objects_pb2.ServicePort(port_name="http", discovery_name="api", app_protocol="http", ingress_port=15100),
    objects_pb2.ServicePort(port_name="raw", discovery_name="lines", app_protocol="tcp", ingress_port=15101),
)
REVISION = "default/api/1a2b"
API = names.service_cluster("shop.local", "api")
FLAGGED = f"{names.FLAGGED_STAT}.to.{API}.code"


def flows(*stats, histograms=()):
    numbers = [{"name": name, "value": value} for name, value in stats]
    buckets = [
        {
            "histograms": {
                "details": [
                    {
                        "name": name,
                        "totals": [{"lower_bound": low, "width": 0.1, "count": count} for low, count in totals],
                    }
                    for name, totals in histograms
                ]
            }
        }
    ]
    found = FlowReader("shop.local", PORTS).read({"stats": [*numbers, *buckets]})
    return {(flow.direction, flow.discovery_name): flow for flow in found}


def called(*stats):
    """The names that were called."""
    return {name for direction, name in flows(*stats) if direction == "egress"}


def test_an_ingress_port_of_http():
    prefix = f"http.{names.ingress_stat_prefix('http')}"
    app = f"cluster.{names.app_cluster(REVISION, 'http')}"
    found = flows(
        ("listener.0.0.0.0_15100.downstream_cx_total", 4),
        ("listener.0.0.0.0_15100.worker_0.downstream_cx_total", 4),
        ("listener.0.0.0.0_15100.downstream_cx_active", 2),
        (f"{prefix}.downstream_rq_total", 9),
        (f"{prefix}.downstream_cx_rx_bytes_total", 900),
        (f"{prefix}.downstream_cx_tx_bytes_total", 9000),
        (f"{app}.upstream_rq_2xx", 8),
        (f"{app}.external.upstream_rq_2xx", 8),
        (f"{app}.upstream_rq_5xx", 1),
        ("listener.0.0.0.0_15100.ssl.connection_error", 1),
        ("listener.0.0.0.0_15400.ssl.fail_verify_san", 2),
        histograms=[
            (f"{app}.upstream_rq_time", [(0, 7), (2.0, 1), (46, 1)]),
            (f"{app}.external.upstream_rq_time", [(0, 9)]),
        ],
    )
    flow = found["ingress", "api"]
    assert (flow.port_name, flow.protocol, flow.namespace) == ("http", "http", "shop.local")
    assert (flow.connections, flow.active_connections, flow.requests) == (4, 2, 9)
    assert (flow.bytes_received, flow.bytes_sent, flow.tls_errors) == (900, 9000, 3)
    assert (flow.responses_2xx, flow.responses_5xx) == (8, 1)
    assert list(zip(flow.latency.lower_us, flow.latency.counts, strict=True)) == [(0, 7), (2000, 1), (46000, 1)]


def test_an_ingress_port_of_tcp():
    found = flows(
        ("listener.0.0.0.0_15101.downstream_cx_total", 4),
        ("tcp.ingress.raw.downstream_cx_rx_bytes_total", 11),
        ("tcp.ingress.raw.downstream_cx_tx_bytes_total", 22),
    )
    flow = found["ingress", "lines"]
    assert (flow.connections, flow.bytes_received, flow.bytes_sent) == (4, 11, 22)


def test_a_called_name():
    prefix = f"cluster.{API}"
    found = flows(
        (f"{prefix}.upstream_rq_completed", 10),
        (f"{prefix}.upstream_rq_total", 12),
        (f"{prefix}.upstream_rq_retry", 2),
        (f"{prefix}.retry.upstream_rq_5xx", 2),
        (f"{prefix}.upstream_rq_5xx", 1),
        (f"{prefix}.outlier_detection.ejections_active", 1),
        (f"{prefix}.outlier_detection.ejections_enforced_total", 3),
        (f"{prefix}.upstream_rq_pending_overflow", 1),
        (f"{prefix}.upstream_rq_active_overflow", 1),
        (f"{prefix}.upstream_cx_overflow", 1),
    )
    flow = found["egress", "api"]
    assert (flow.requests, flow.attempts, flow.retries, flow.responses_5xx) == (10, 12, 2, 1)
    assert (flow.ejections_active, flow.ejections, flow.overflows) == (1, 3, 3)


def test_calls_that_a_route_leads_to_one_revision_are_a_flow_of_their_own():
    """When the route goes, so does the cluster: its counts must not be missed in a sum that then grows from less."""
    alone = f"cluster.{names.destination('shop.local', Destination('api', REVISION))}"
    numbers = [
        {"name": f"{alone}.upstream_rq_completed", "value": 3},
        {"name": f"cluster.{API}.upstream_rq_completed", "value": 4},
    ]
    found = FlowReader("shop.local", PORTS).read({"stats": numbers})
    called = {flow.target_revision: flow.requests for flow in found if flow.direction == "egress"}
    assert called == {"": 4, REVISION: 3}
    assert re.match(FILTER, f"{alone}.upstream_rq_completed")


def test_a_name_that_is_not_called_is_no_flow():
    """Or each sample would grow with the mesh."""
    assert (
        called((f"cluster.{API}.upstream_cx_active", 0), (f"cluster.{API}.outlier_detection.ejections_active", 0))
        == set()
    )


def test_that_nothing_came_to_a_port_is_a_sample():
    found = flows()
    assert [(flow.port_name, flow.requests) for flow in found.values()] == [("raw", 0), ("http", 0)]


@pytest.mark.parametrize(
    ("proxy", "error"),
    [("tsunagu; error=connection_refused", "connection_refused"), ("tsunagu", "unknown"), ("nginx; x", ""), ("", "")],
)
def test_a_flagged_response_says_whose_it_is(proxy, error):
    found = flows((f"{names.FLAGGED_EGRESS}.{FLAGGED}.503.flags.URX.grpc..proxy.{proxy}", 2))
    [flag] = found["egress", "api"].flags
    assert (flag.flags, flag.code, flag.proxy_error, flag.count) == ("URX", 503, error, 2)


def test_a_failed_grpc_call_is_counted_at_its_caller():
    found = flows(
        (f"{names.FLAGGED_EGRESS}.{FLAGGED}.200.flags.-.grpc.14.proxy.", 3),
        (f"{names.FLAGGED_EGRESS}.{FLAGGED}.200.flags.-.grpc.5.proxy.", 1),
    )
    assert found["egress", "api"].grpc_failures == 4


def test_what_failed_before_there_was_a_cluster_is_of_no_name():
    assert called((f"{names.FLAGGED_EGRESS}.{names.FLAGGED_STAT}.to..code.503.flags.NC.grpc..proxy.", 1)) == {""}


def test_what_failed_at_a_port_is_the_port_s():
    found = flows((f"{names.flagged_ingress('http')}.{names.FLAGGED_STAT}.to.app/x.code.0.flags.DC.grpc..proxy.", 1))
    [flag] = found["ingress", "api"].flags
    assert (flag.flags, flag.code, flag.count) == ("DC", 0, 1)


def test_a_port_that_the_service_does_not_offer_is_no_flow():
    found = flows(("listener.0.0.0.0_9999.downstream_cx_total", 4), ("http.ingress.other.downstream_rq_total", 1))
    assert [(flow.connections, flow.requests) for flow in found.values()] == [(0, 0), (0, 0)]


def test_envoy_is_asked_for_no_more_than_is_read():
    asked = re.compile(FILTER)
    assert asked.match(f"cluster.{API}.upstream_rq_completed")
    assert asked.match(f"cluster.{names.app_cluster(REVISION, 'http')}.grpc.failure")
    assert asked.match(
        f"{names.FLAGGED_EGRESS}.{FLAGGED}.503.flags.UF,URX.grpc..proxy.tsunagu; error=connection_refused"
    )
    for other in ("external.upstream_rq_2xx", "upstream_rq_200", "membership_total", "zone.a.b.upstream_rq_2xx"):
        assert not asked.match(f"cluster.{API}.{other}")
    assert not asked.match("listener.0.0.0.0_15100.worker_0.downstream_cx_total")


@pytest.mark.parametrize("wrong", [{}, {"stats": 3}, {"stats": [{"x": 1}]}, {"stats": [{"name": 3, "value": 1}]}])
def test_what_is_no_answer_of_stats_is_refused(wrong):
    with pytest.raises((LookupError, TypeError, ValueError)):
        FlowReader("shop", PORTS).read(wrong)


def test_the_tags_of_a_counter_are_in_the_order_in_which_they_are_read():
    assert list(flagged._TAGS) == ["to", "code", "flags", "grpc", "proxy"]


def test_what_access_policies_allow_refuse_and_would_refuse():
    http, tcp = (names.ingress_stat_prefix(name) for name in ("http", "raw"))
    found = flows(
        (f"http.{http}.rbac.allowed", 5),
        (f"http.{http}.rbac.denied", 3),
        (f"http.{http}.rbac.shadow_denied", 2),
        (f"http.{http}.rbac.shadow_allowed", 9),
        (f"tcp.{tcp}.rbac.shadow_denied", 4),
        ("listener.0.0.0.0_15101.ssl.fail_verify_san", 6),
        ("listener.0.0.0.0_15101.ssl.fail_verify_error", 1),
    )
    api, lines = found["ingress", "api"], found["ingress", "lines"]
    assert (api.access_allowed, api.access_refused, api.access_audited) == (5, 3, 2)
    assert (lines.access_allowed, lines.access_refused, lines.access_audited, lines.tls_errors) == (0, 6, 4, 7)


def test_a_port_is_one_flow_whether_its_callers_speak_tls_or_not():
    found = flows(
        ("listener.0.0.0.0_15101.downstream_cx_total", 4),
        ("listener.0.0.0.0_15401.downstream_cx_total", 3),
        ("listener.0.0.0.0_15401.ssl.fail_verify_san", 2),
        ("listener.0.0.0.0_15400.downstream_cx_total", 1),
    )
    lines = found["ingress", "lines"]
    assert (lines.connections, lines.access_refused, lines.tls_errors) == (7, 2, 2)
    assert found["ingress", "api"].connections == 1


def test_envoy_is_asked_for_what_tells_of_access():
    asked = re.compile(FILTER)
    assert asked.search(f"http.{names.ingress_stat_prefix('http')}.rbac.denied")
    assert asked.search(f"tcp.{names.ingress_stat_prefix('raw')}.rbac.shadow_denied")
