"""The 13 metrics of Service Connect: names, units, dimensions, and for which protocol AWS emits them."""

import pytest

from tests.unit.signals.specimens import flag, inward, outward
from tsunagu.signals import cloudwatch
from tsunagu.v1 import signals_pb2

#: Amazon ECS Developer Guide, "Available metrics": name, unit, first dimension.
AWS = {
    ("ActiveConnectionCount", "Count", "DiscoveryName"),
    ("NewConnectionCount", "Count", "DiscoveryName"),
    ("ProcessedBytes", "Bytes", "DiscoveryName"),
    ("RequestCount", "Count", "DiscoveryName"),
    ("GrpcRequestCount", "Count", "DiscoveryName"),
    ("ClientTLSNegotiationErrorCount", "Count", "DiscoveryName"),
    ("HTTPCode_Target_2XX_Count", "Count", "TargetDiscoveryName"),
    ("HTTPCode_Target_3XX_Count", "Count", "TargetDiscoveryName"),
    ("HTTPCode_Target_4XX_Count", "Count", "TargetDiscoveryName"),
    ("HTTPCode_Target_5XX_Count", "Count", "TargetDiscoveryName"),
    ("RequestCountPerTarget", "Count", "TargetDiscoveryName"),
    ("TargetProcessedBytes", "Bytes", "TargetDiscoveryName"),
    ("TargetResponseTime", "Milliseconds", "TargetDiscoveryName"),
    ("TargetTLSNegotiationErrorCount", "Count", "TargetDiscoveryName"),
}


def window(flow, service="web", targets=0):
    return signals_pb2.Window(
        start=0,
        end=60,
        source=signals_pb2.Source(cluster="default", service=service),
        tasks=1,
        flow=flow,
        targets=targets,
    )


def values(*windows, dimensions=3):
    return {datum.metric.name: datum.value for datum in cloudwatch.data(windows) if len(datum.dimensions) == dimensions}


def test_they_are_aws_s():
    """The guide's thirteen rows: the four HTTPCode_Target_* metrics are one of them for each class."""
    assert {(one.name, one.unit, one.dimension) for one in cloudwatch.METRICS} == AWS


def test_what_a_service_serves():
    flow = inward(protocol="http", requests=5, connections=2, bytes_received=10, bytes_sent=30, active_connections=1)
    assert values(window(flow)) == {
        "ActiveConnectionCount": 1,
        "NewConnectionCount": 2,
        "ProcessedBytes": 40,
        "RequestCount": 5,
    }


def test_what_its_callers_see():
    flow = outward(
        protocol="http",
        attempts=8,
        responses_2xx=3,
        responses_4xx=1,
        responses_5xx=3,
        flags=[flag("UF,URX", 503, 1), flag("URX", 503, 1, "connection_refused")],
        latency={10: 2, 30: 2},
    )
    found = values(window(flow, targets=4))
    assert found["HTTPCode_Target_2XX_Count"] == 3
    assert found["HTTPCode_Target_4XX_Count"] == 1
    assert found["HTTPCode_Target_5XX_Count"] == 1  # what proxies answered is no response of the target
    assert found["RequestCountPerTarget"] == 2
    assert found["TargetResponseTime"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("protocol", "absent"),
    [
        ("tcp", {"RequestCount", "GrpcRequestCount"}),
        ("http", {"GrpcRequestCount"}),
        ("http2", {"GrpcRequestCount"}),
        ("grpc", set()),
    ],
)
def test_a_metric_is_absent_where_aws_has_none(protocol, absent):
    every = {"ActiveConnectionCount", "NewConnectionCount", "ProcessedBytes", "RequestCount", "GrpcRequestCount"}
    assert set(values(window(inward(protocol=protocol, active_connections=0)))) == every - absent


def test_grpc_has_no_http_codes():
    found = values(window(outward(protocol="grpc", responses_2xx=3, attempts=3, latency={1: 3}), targets=1))
    assert set(found) == {"RequestCountPerTarget", "TargetProcessedBytes", "TargetResponseTime"}


def test_nothing_answered_has_no_response_time():
    assert "TargetResponseTime" not in values(window(outward(protocol="http")))


def test_a_name_alone_is_the_sum_over_its_callers():
    one = window(outward(protocol="http", responses_2xx=3, latency={10: 3}), "web", targets=2)
    other = window(outward(protocol="http", responses_2xx=4, latency={20: 1}), "cron", targets=2)
    found = values(one, other, dimensions=1)
    assert found["HTTPCode_Target_2XX_Count"] == 7
    assert found["TargetResponseTime"] == pytest.approx(12.5)


def test_a_value_says_whose_it_is():
    [datum] = [
        one
        for one in cloudwatch.data([window(inward(protocol="http"))])
        if one.metric.name == "RequestCount" and len(one.dimensions) == 3
    ]
    assert datum.dimensions == (("DiscoveryName", "api"), ("ServiceName", "web"), ("ClusterName", "default"))
