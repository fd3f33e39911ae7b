"""What Prometheus reads: names, labels and kinds; that an unknown gauge is absent; that histograms are cumulative."""

from prometheus_client.parser import text_string_to_metric_families

from tests.unit.signals.specimens import flag, given, inward, leaving, outward
from tsunagu.metrics.process import rendered
from tsunagu.v1 import inspector_pb2, signals_pb2


def totals(*flows, **more):
    return signals_pb2.TaskTotals(source=given(**more).source, flows=flows)


def read(*tasks, own=()):
    """(name, labels) -> value of every sample, and the kind of every family."""
    found = list(text_string_to_metric_families(rendered(tasks, own).decode()))
    values = {(one.name, frozenset(one.labels.items())): one.value for family in found for one in family.samples}
    return values, {family.name: family.type for family in found}


def value(values, name, **labels):
    [found] = [number for (one, its), number in values.items() if one == name and set(labels.items()) <= its]
    return found


def test_a_flow_has_the_labels_of_its_task():
    values, kinds = read(totals(inward(requests=3, active_connections=2)))
    [labels] = [dict(its) for name, its in values if name == "tsunagu_ingress_requests_total"]
    assert labels == {
        "cluster": "default",
        "service": "api",
        "task": "api-1",
        "revision": "1",
        "zone": "",
        "namespace": "shop",
        "discovery_name": "api",
    }
    assert value(values, "tsunagu_ingress_requests_total") == 3
    assert value(values, "tsunagu_ingress_active_connections") == 2
    assert (kinds["tsunagu_ingress_requests"], kinds["tsunagu_ingress_active_connections"]) == ("counter", "gauge")


def test_a_gauge_that_is_not_known_is_absent():
    values, _ = read(totals(inward(requests=3)))
    assert not [name for name, _ in values if name == "tsunagu_ingress_active_connections"]


def test_responses_are_the_app_s_and_what_a_proxy_made_is_beside_them():
    flow = outward(responses_5xx=5, flags=[flag("UF", 503, 2), flag("URX", 503, 1, "connection_refused")])
    values, _ = read(totals(flow))
    assert value(values, "tsunagu_target_responses_total", **{"class": "5xx"}) == 2
    assert value(values, "tsunagu_target_proxy_errors_total") == 3
    assert value(values, "tsunagu_target_flagged_total", proxy_error="connection_refused") == 1


def test_a_histogram_is_cumulative_and_in_seconds():
    values, kinds = read(totals(outward(latency={4: 3, 40: 1})))
    name = "tsunagu_target_response_seconds"
    assert kinds[name] == "histogram"
    assert value(values, f"{name}_bucket", le="0.005") == 3
    assert value(values, f"{name}_bucket", le="+Inf") == 4
    assert value(values, f"{name}_count") == 4
    assert abs(value(values, f"{name}_sum") - 0.052) < 1e-9


def test_what_leaves_the_mesh_is_by_task_and_what_was_refused_by_reason():
    flow = leaving(
        {"unreachable": 2, "own-port": 1}, connections=7, bytes_sent=10, bytes_received=20, active_connections=3
    )
    values, kinds = read(totals(flow))
    [labels] = [dict(its) for name, its in values if name == "tsunagu_outside_connections_total"]
    assert labels.keys() == {"cluster", "service", "task", "revision", "zone", "namespace"}
    assert value(values, "tsunagu_outside_connections_total", task="api-1") == 7
    assert value(values, "tsunagu_outside_active_connections") == 3
    assert value(values, "tsunagu_outside_bytes_total", direction="sent") == 10
    assert value(values, "tsunagu_outside_bytes_total", direction="received") == 20
    assert value(values, "tsunagu_outside_refused_total", reason="unreachable") == 2
    assert value(values, "tsunagu_outside_refused_total", reason="own-port") == 1
    assert kinds["tsunagu_outside_active_connections"] == "gauge"


def test_a_gateway_is_a_caller_of_that_name():
    values, _ = read(totals(outward(requests=1), service="", gateway="front"))
    assert value(values, "tsunagu_target_requests_total", service="gateway:front", target="api") == 1


def test_the_control_plane_s_own_numbers_are_there():
    own = [
        inspector_pb2.Metric(name="xds_acks", kind="counter", help="acks", labels={"type": "CDS"}, value=7),
        inspector_pb2.Metric(name="xds_groups", kind="gauge", help="groups", value=2),
        inspector_pb2.Metric(
            name="xds_answer_seconds",
            kind="histogram",
            help="time",
            histogram=inspector_pb2.Histogram(bounds=[0.1, 1], counts=[1, 2, 3], sum=9),
        ),
    ]
    values, _ = read(own=own)
    assert value(values, "tsunagu_xds_acks_total", type="CDS") == 7
    assert value(values, "tsunagu_xds_groups") == 2
    assert value(values, "tsunagu_xds_answer_seconds_bucket", le="1") == 3
    assert value(values, "tsunagu_xds_answer_seconds_count") == 6
