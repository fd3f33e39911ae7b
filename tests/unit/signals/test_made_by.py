"""HTTPCode_Target_*: what the app answered, and nothing that a proxy answered in its place."""

import pytest

from tests.unit.signals.specimens import flag, outward
from tsunagu.signals import made_by, windows


@pytest.mark.parametrize(
    ("flags", "code", "proxy_error", "apps"),
    [
        pytest.param("", 500, "", 1, id="the app's own 500"),
        pytest.param("URX", 503, "", 1, id="the app's own 503, also at the last try"),
        pytest.param("UC", 200, "", 1, id="a response of the app that broke off"),
        pytest.param("UF,URX", 503, "", 0, id="nobody listens there"),
        pytest.param("UH", 503, "", 0, id="no healthy endpoint"),
        pytest.param("UT", 504, "", 0, id="too slow"),
        pytest.param("URX", 503, "connection_refused", 0, id="the app is dead behind its own proxy"),
        pytest.param("UO", 503, "", 0, id="a circuit breaker"),
    ],
)
def test_who_made_a_response(flags, code, proxy_error, apps):
    flow = outward(flags=[flag(flags, code, 1, proxy_error)], **{f"responses_{code // 100}xx": 1})
    assert made_by.app_responses(flow, code // 100) == apps
    assert made_by.proxy_errors(flow) == 1 - apps


@pytest.mark.parametrize(("flags", "code"), [("NR", 404), ("NC", 503), ("DPE", 400)])
def test_a_request_that_reached_no_cluster_is_a_proxy_s_error_and_nobody_s_response(flags, code):
    flow = outward(flags=[flag(flags, code, 3)])
    assert made_by.app_responses(flow, code // 100) == 0
    assert made_by.proxy_errors(flow) == 3


def test_a_caller_that_left_is_no_error():
    assert made_by.proxy_errors(outward(flags=[flag("DC", 0, 2)])) == 0


def test_a_tcp_connection_without_a_target_is_an_error():
    assert made_by.proxy_errors(outward(connections=5, flags=[flag("UF,URX", 0, 2)])) == 2


@pytest.mark.parametrize(
    ("flags", "proxy_error", "grpc", "counted_as", "by_app"),
    [
        pytest.param("", "", 5, "responses_2xx", 1, id="the app's own NOT_FOUND"),
        pytest.param("UF,URX", "", 14, "responses_5xx", 0, id="nobody listens there"),
        pytest.param("UT", "", 4, "responses_5xx", 0, id="too slow"),
        pytest.param("URX", "connection_refused", 14, "responses_2xx", 0, id="the app is dead behind its own proxy"),
    ],
)
def test_a_grpc_request_that_failed_is_one_error(flags, proxy_error, grpc, counted_as, by_app):
    """Envoy answers it with 200, and counts it in its cluster as an HTTP request's 503."""
    flow = outward(flags=[flag(flags, 200, 1, proxy_error, grpc)], grpc_failures=1, **{counted_as: 1})
    assert made_by.app_grpc_failures(flow) == by_app
    assert made_by.proxy_errors(flow) == 1 - by_app
    assert windows.errors(flow) == 1
    assert windows.ended(flow) == 1
    assert made_by.app_responses(flow, 5) == 0


def test_a_call_that_the_app_broke_off_is_not_taken_for_one_of_grpc():
    flow = outward(flags=[flag("UC", 200, 1)], responses_2xx=1)
    assert made_by.proxy_errors(flow) == 0
