"""What the call just now got, read together with what Envoy counts; for faults that nothing else has shown.

Envoy writes why it answers by itself into the body (source/common/router/router.cc, `LocalReply`), and an answer that came
from beyond it has `x-envoy-upstream-service-time`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.facts import short_time
from tsunagu.cli.why.rules.serving import raise_timeout
from tsunagu.cli.why.verdict import Sure, Verdict
from tsunagu.model.cloud_map import as_registered

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Answer, Facts, Held

_BEYOND: Final = "x-envoy-upstream-service-time"
_BY_ENVOY: Final = (
    *("upstream connect error", "no healthy upstream", "upstream request timeout", "stream timeout"),
    "RBAC: access denied",
)
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = 404
#: The end of grpc.health.v1.HealthCheckResponse with status 2.
_NOT_SERVING: Final = "\x08\x02"
#: grpc-status of a server that has no health service, or none of this name: UNIMPLEMENTED, NOT_FOUND.
_NO_HEALTH_SERVICE: Final = frozenset({"12", "5"})
#: Stat of the cluster -> what it counts, in words.
_PAST: Final = {
    "upstream_rq_timeout": "requests timed out",
    "upstream_cx_connect_fail": "connections failed",
    "upstream_cx_connect_timeout": "connections timed out",
    "upstream_rq_pending_overflow": "requests found the circuit breaker open",
    "upstream_rq_active_overflow": "requests found as many in flight as are allowed",
    "upstream_cx_overflow": "connections found the circuit breaker open",
    "upstream_cx_none_healthy": "requests found no healthy endpoint",
    "upstream_rq_5xx": "answers were 5xx",
    "upstream_rq_tx_reset": "requests were given up by callers or timeouts",
    "outlier_detection.ejections_enforced_total": "ejections",
}
_EJECTED_FOR: Final = {
    "outlier_detection.ejections_enforced_consecutive_5xx": "answers with 5xx, or none, in a row",
    "outlier_detection.ejections_enforced_consecutive_local_origin_failure": "connections failed in a row",
    "outlier_detection.ejections_enforced_consecutive_gateway_failure": "gateway errors in a row",
}


def from_app(answer: Answer | None) -> bool:
    """Whether an app of the other side has answered, whatever it answered."""
    if answer is None or not answer.status:
        return False
    return _BEYOND in answer.headers and not answer.said.startswith(_BY_ENVOY)


def came_through(facts: Facts) -> bool:
    """Whether the call just now had the end that its caller wants: `reached`, and no 5xx."""
    answer = facts.answer
    return (
        reached(facts) and answer is not None and answer.status < _SERVER_ERROR and not (answer.status and answer.ended)
    )


def reached(facts: Facts) -> bool:
    """Whether the call just now came through: an answer of the app, or a connection of tcp that stays open or speaks."""
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None:
        return False
    if alias.is_http:
        return from_app(answer)
    return not answer.refused and (bool(answer.spoke) or bool(answer.status) or not answer.ended)


def overflow(facts: Facts) -> Verdict | None:
    answer, held = facts.answer, facts.held
    if answer is None or "overflow" not in answer.said or not answer.said.startswith(_BY_ENVOY):
        return None
    limits = ", ".join(f"{name} {value}" for name, value in held.limits.items()) if held else ""
    text = f"the circuit breaker of {facts.target} is open in the Envoy of {facts.caller.task}"
    return Verdict(
        "overflow", text + (f" ({limits})" if limits else ""), "raise its limits, or call less at once", "cluster"
    )


def all_ejected(facts: Facts) -> Verdict | None:
    held = facts.held
    out = [one for one in held.hosts if one.ejected] if held else []
    if held is None or not out:
        return None
    text = (
        f"{len(out)} of {len(held.hosts)} endpoints of {facts.target} are ejected by the Envoy of {facts.caller.task}"
        f" ({', '.join(one.address for one in out[:3])}): {_why_ejected(held)}"
    )
    _, first, longest = held.ejection
    remedy = f"each is tried again after {first:g} s, the longer the more often it was ejected ({longest:g} s at most)"
    return Verdict("ejected", text, remedy, "endpoints", blocks=False)


def unhealthy_hosts(facts: Facts) -> Verdict | None:
    held = facts.held
    if held is None or not held.hosts or any(one.usable for one in held.hosts):
        return None
    words = ", ".join(sorted({"failing its health check" if one.failing else one.health for one in held.hosts}))
    text = f"every endpoint of {facts.target} is {words} in the Envoy of {facts.caller.task}"
    return Verdict(
        "no-healthy-endpoint", text, f"tsunagu envoy {facts.caller.task} endpoints lists them", "endpoints", Sure.LIKELY
    )


def fault_injected(facts: Facts) -> Verdict | None:
    answer = facts.answer
    if answer is None or not answer.said.startswith("fault filter abort"):
        return None
    text = f"a fault that somebody has set up answers {answer.status} for {facts.target}"
    return Verdict("fault-injected", text, "take it out of the Route or the TrafficPolicy", "route")


def idle_timeout(facts: Facts) -> Verdict | None:
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or not answer.said.startswith("stream timeout"):
        return None
    whose = (
        f"idleTimeoutSeconds of {alias.service}"
        if facts.idle_timeout == alias.idle_timeout
        else "its Route or TrafficPolicy"
    )
    text = f"no byte moved for {facts.idle_timeout:g} s ({whose}), and the call was cut"
    return Verdict("idle-timeout", text, "raise it, or let the app write sooner", "route")


def request_timeout(facts: Facts) -> Verdict | None:
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or not answer.said.startswith("upstream request timeout"):
        return None
    text = f"{alias.service} did not answer in time, and the call was cut after {short_time(answer.seconds)}"
    return Verdict("request-timeout", text, f"{raise_timeout(facts)}, or make the app faster", "app")


def cut_in_body(facts: Facts) -> Verdict | None:
    """The answer began, and was cut at the request timeout, which holds for the whole of it."""
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or not (answer.status and answer.ended):
        return None
    limit = facts.request_timeout
    if not limit or answer.seconds < limit:
        text = f"the answer of {facts.target} ({answer.status}) was {answer.ended} within its body"
        return Verdict("cut", text, "the app's log may say why", "app", Sure.LIKELY)
    text = f"the answer of {facts.target} was cut in its body after {limit:g} s, which is what a whole call may take"
    return Verdict("request-timeout", text, raise_timeout(facts), "route", Sure.LIKELY)


def grpc_error(facts: Facts) -> Verdict | None:
    """The app has answered, and says in a header that the call failed. (A status in trailers is not seen.)"""
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or alias.protocol != "grpc" or not from_app(answer):
        return None
    status, asked = answer.headers.get("grpc-status", "0"), facts.target.path or "its health service"
    if not facts.target.path and answer.body.endswith(_NOT_SERVING):
        text = f"the call reaches the app of {alias.service}, whose health service says NOT_SERVING"
    elif status == "0" or (not facts.target.path and status in _NO_HEALTH_SERVICE):
        return None
    else:
        words = f" ({answer.said.strip()[:80]!r})" if answer.said.strip() else ""
        text = f"the call reaches the app of {alias.service}, which itself answers {asked} with grpc-status {status}{words}"
    return Verdict("app-grpc", text, "the mesh carries the call; its log says why", "app", blocks=False)


def injected_delay(facts: Facts) -> Verdict | None:
    held, answer = facts.held, facts.answer
    if held is None or not held.delay or answer is None or not answer.timed_out or answer.status:
        return None
    text = f"a fault that somebody has set up delays calls of {facts.target} by {held.delay:g} s"
    return Verdict(
        "fault-injected", text, "take it out of the Route or the TrafficPolicy", "route", Sure.LIKELY, blocks=False
    )


def waits_for_connection(facts: Facts) -> Verdict | None:
    """The circuit breaker of connections is open, and the call waits for one."""
    held, answer = facts.held, facts.answer
    if held is None or answer is None or not answer.timed_out or answer.status:
        return None
    waiting, most = held.stat("upstream_rq_pending_active"), held.limits.get("max_connections")
    if not waiting or most is None:
        return None
    text = f"{waiting} calls of {facts.target} wait for a connection in the Envoy of {facts.caller.task} (max_connections {most})"
    return Verdict("overflow", text, "raise its limits, or call less at once", "cluster", Sure.LIKELY, blocks=False)


def unreachable_instance(facts: Facts) -> Verdict | None:
    """What serves the name is no task: it was registered, and nobody else knows whether anything is there."""
    alias, answer = facts.alias, facts.answer
    if alias is None or alias.external or answer is None or reached(facts) or not facts.serving:
        return None
    if facts.servers or any(one.task != one.address for one in facts.serving) or answer.timed_out:
        return None
    at = ", ".join(f"{as_registered(one.ip)}:{one.port}" for one in facts.serving[:3])
    text = f"{alias.name} is registered at {at}, and nothing there takes a connection"
    remedy = f"start it, or tsunagu deregister {alias.namespace}/{alias.discovery_name}"
    return Verdict("instance-down", text, remedy, "endpoints", Sure.LIKELY)


def unreachable(facts: Facts) -> Verdict | None:
    answer = facts.answer
    if answer is None or from_app(answer) or not answer.said.startswith(_BY_ENVOY):
        return None
    if "protocol error" in answer.said:
        whose = facts.alias.service if facts.alias else str(facts.target)
        text = f"what the app of {whose} answers is no HTTP that Envoy takes (protocol error)"
        return Verdict("app-bad-http", text, "mend what it sends, or its appProtocol", "app", Sure.LIKELY)
    where = "the other side's Envoy reaches no app" if _BEYOND in answer.headers else "no endpoint could be used"
    if "remote reset" in answer.said and _BEYOND in answer.headers:
        where = f"the app of {_service(facts)} resets the request (of HTTP/2)"
    if "connection timeout" in answer.said:
        where += ": packets to it get no answer, as if something dropped them"
    text = f"{where}: Envoy says {' '.join(answer.said.split())[:200]!r}"
    return Verdict("unreachable", text, "tsunagu why --verbose shows what each side has", "endpoints", Sure.LIKELY)


def no_route_answer(facts: Facts) -> Verdict | None:
    answer, alias = facts.answer, facts.alias
    if alias is None or answer is None or answer.status != _NOT_FOUND or _BEYOND in answer.headers or not alias.is_http:
        return None
    if answer.headers.get("server") != "envoy":
        return None
    text = f"no route takes {facts.target.path or '/'} at {facts.target}: Envoy itself answers 404"
    return Verdict("no-route", text, f"tsunagu envoy {facts.caller.task} routes lists them", "route")


def answered_5xx(facts: Facts) -> Verdict | None:
    answer = facts.answer
    if answer is None or answer.status < _SERVER_ERROR:
        return None
    if not from_app(answer):
        text = f"Envoy answers {answer.status} by itself: {' '.join(answer.said.split())[:200] or 'without words'}"
        return Verdict(
            "envoy-5xx", text, "tsunagu egress-log shows the response flags of such calls", "route", Sure.LIKELY
        )
    others = facts.held is not None and bool(facts.held.others)
    whose = f"one of the apps behind {facts.target}" if others else f"the app of {_service(facts)}"
    text = f"{whose} answers {answer.status}"
    return Verdict(
        "app-5xx", text, "the mesh carries the call; the app's log says why", "app", Sure.LIKELY, blocks=False
    )


def tcp_closed(facts: Facts) -> Verdict | None:
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or alias.is_http or reached(facts):
        return None
    how = answer.refused or f"the connection was {answer.ended} at once"
    text = f"{facts.target} cannot be used: {how}, and no cause was seen"
    return Verdict(
        "tcp-closed", text, "tsunagu egress-log shows the response flags of such calls", "endpoints", Sure.NO
    )


def app_4xx(facts: Facts) -> Verdict | None:
    answer = facts.answer
    if answer is None or not from_app(answer) or not _CLIENT_ERROR <= answer.status < _SERVER_ERROR:
        return None
    others = facts.held is not None and bool(facts.held.others)
    whose = f"one of the apps behind {facts.target}" if others else f"the app of {_service(facts)}"
    text = f"the call reaches {whose}, which itself answers {answer.status} for {facts.target.path or '/'}"
    remedy = (
        "the mesh is not at fault; is it the right path?" if answer.status == _NOT_FOUND else "the mesh is not at fault"
    )
    return Verdict("app-4xx", text, remedy, "app", blocks=False, fault=False)


def works(facts: Facts) -> Verdict | None:
    answer, alias = facts.answer, facts.alias
    if answer is None or alias is None or not reached(facts):
        return None
    took = f"answered {answer.words}" if answer.status else _opened(answer)
    if answer.status and answer.timed_out and facts.request_timeout:
        took += (
            f"; a call is cut after {facts.request_timeout:g} s, body and all: {raise_timeout(facts)} for longer ones"
        )
    text = f"{facts.caller.task} reaches {facts.target}: {took}"
    return Verdict("works", text + _not_tried(facts) + _past(facts.held), "", "app", blocks=False, fault=False)


def nothing_seen(facts: Facts) -> Verdict | None:
    if reached(facts):
        return None
    if facts.answer is None:
        text = f"nothing wrong is seen on the way of {facts.target}, and no call was made"
        return Verdict("nothing-seen", text, "", "app", Sure.NO, blocks=False, fault=False)
    text = f"a call to {facts.target} got {facts.answer.words}, and no cause was seen"
    return Verdict("no-cause", text, "tsunagu why --verbose shows all that was looked at", "app", Sure.NO)


def _why_ejected(held: Held) -> str:
    found = [f"{held.ejection[0]} {words}" for stat, words in _EJECTED_FOR.items() if held.stat(stat)]
    return " and ".join(found) or f"{held.ejection[0]} failures in a row"


def _service(facts: Facts) -> str:
    return facts.alias.service if facts.alias else str(facts.target)


def _not_tried(facts: Facts) -> str:
    if facts.held is None or not facts.held.others:
        return ""
    where = ", ".join(facts.held.others)
    return f"; calls go to {where} as well, by weight or by what Routes see in them (tsunagu routes), and that was not looked at"


def _opened(answer: Answer) -> str:
    if answer.spoke:
        return "the connection was accepted, and the other side speaks"
    return "the connection was accepted, and stays open; no byte was sent, so nothing is known of what the app would answer"


def _past(held: Held | None) -> str:
    counts = [f"{held.stat(stat)} {words}" for stat, words in _PAST.items() if held.stat(stat)] if held else []
    return f"; since its Envoy started: {', '.join(counts)}" if counts else ""


RULES: Final = (
    overflow,
    fault_injected,
    all_ejected,
    unhealthy_hosts,
    idle_timeout,
    request_timeout,
    injected_delay,
    waits_for_connection,
    no_route_answer,
    unreachable_instance,
    unreachable,
    answered_5xx,
    tcp_closed,
    cut_in_body,
    grpc_error,
    app_4xx,
    works,
    nothing_seen,
)
