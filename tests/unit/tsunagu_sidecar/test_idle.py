import re

import pytest

from tsunagu_sidecar.idle import CALLS, Idleness, IngressPort, MissingGauge, Read, observe, observe_calls, stats_filter

WEB = IngressPort("web", 15100, http=True)
DB = IngressPort("db", 15101, http=False)
RQ, CX = "http.ingress.web.downstream_rq", "listener.0.0.0.0_15101.downstream_cx"


def stats(rq=0, rq_total=0, cx=0, cx_total=0):
    return {f"{RQ}_active": rq, f"{RQ}_total": rq_total, f"{CX}_active": cx, f"{CX}_total": cx_total}


def look(*seen):
    """Idleness after looking at (time, stats) in turn."""
    at = Idleness()
    for now, values in seen:
        at = observe(at, values, (WEB, DB), Read(now, now))
    return at


def test_nothing_for_a_quarter_second_is_idle():
    assert not look((0.0, stats()), (0.1, stats()), (0.2, stats())).reached()
    assert look((0.0, stats()), (0.1, stats()), (0.25, stats())).reached()


def test_what_nobody_looked_at_is_not_known_to_be_idle():
    """On a busy machine the next look comes late, and what is asked is answered late."""
    assert not look((0.0, stats())).reached()
    asked = observe(Idleness(), stats(), (WEB, DB), Read(0.0, 0.4))
    again = observe(asked, stats(), (WEB, DB), Read(0.43, 0.9))
    assert not again.reached()  # Envoy may have read both between 0.4 and 0.43
    assert observe(again, stats(), (WEB, DB), Read(0.93, 1.3)).reached()


def test_an_open_request_is_not():
    assert not look((0.0, stats()), (1.0, stats(rq=1, rq_total=1))).reached()


def test_an_open_connection_of_a_tcp_port_is_not():
    assert not look((0.0, stats(cx=1, cx_total=9)), (1.0, stats(cx=1, cx_total=9))).reached()


def test_a_request_between_two_looks_is_a_break():
    seen = (0.0, stats()), (0.2, stats(rq_total=1))
    assert not look(*seen, (0.3, stats(rq_total=1))).reached()
    assert look(*seen, (0.45, stats(rq_total=1))).reached()


def test_a_break_starts_anew():
    at = look((0.0, stats()), (0.2, stats(rq=1, rq_total=1)), (0.3, stats(rq_total=1)))
    assert at.since == 0.3


def test_before_the_first_look_nothing_is_known():
    assert not Idleness().reached()


@pytest.mark.parametrize("gone", [f"{RQ}_active", f"{RQ}_total", f"{CX}_active", f"{CX}_total"])
def test_a_missing_gauge_is_an_error_and_never_idle(gone):
    values = stats()
    del values[gone]
    with pytest.raises(MissingGauge, match=re.escape(gone)):
        look((0.0, values))


def test_a_task_that_serves_nothing_is_idle():
    at = observe(Idleness(), {}, (), Read(0.0, 0.0))
    assert observe(at, {}, (), Read(0.3, 0.3)).reached()


def test_the_filter_lets_through_just_what_is_needed():
    pattern = re.compile(stats_filter((WEB, DB)))
    assert all(pattern.search(name) for name in stats())
    assert not pattern.search("listener.0.0.0.0_15101.worker_0.downstream_cx_active")
    assert not pattern.search("listener.0x0.0.0_15101.downstream_cx_active")


def calls(active=0, total=0):
    return {"cluster.svc/shop/web.upstream_rq_active": active, "cluster.svc/shop/web.upstream_rq_total": total}


def test_a_gateway_is_idle_when_no_call_is_under_way():
    at = observe_calls(Idleness(), calls(active=1, total=1), Read(0.0, 0.0))
    assert not at.reached()
    at = observe_calls(at, calls(total=1), Read(1.0, 1.0))
    assert not observe_calls(at, calls(total=1), Read(1.2, 1.2)).reached()
    assert observe_calls(at, calls(total=1), Read(1.25, 1.25)).reached()


def test_a_call_of_a_gateway_between_two_looks_is_a_break():
    at = observe_calls(observe_calls(Idleness(), calls(), Read(0.0, 0.0)), calls(total=1), Read(0.2, 0.2))
    assert not observe_calls(at, calls(total=1), Read(0.4, 0.4)).reached()


def test_a_gateway_that_knows_no_service_is_not_idle():
    with pytest.raises(MissingGauge, match="upstream_rq_active"):
        observe_calls(Idleness(), {}, Read(0.0, 0.0))


@pytest.mark.parametrize(
    ("stat", "told"),
    [
        ("cluster.svc/shop/web.upstream_rq_active", True),
        ("cluster.svc/shop/web.upstream_rq_total", True),
        ("cluster.svc/shop/web.upstream_rq_pending_active", False),
        ("cluster.xds.upstream_rq_active", False),  # its stream to the control plane is always under way
    ],
)
def test_only_calls_of_services_count(stat, told):
    assert bool(re.search(CALLS, stat)) is told
