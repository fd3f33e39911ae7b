"""Has the caller's Envoy what the control plane means: is it there, was it told, did it accept, did it warm?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.output import age
from tsunagu.cli.why.facts import TypeState
from tsunagu.cli.why.rules.serving import no_answer
from tsunagu.cli.why.verdict import Sure, Verdict

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Facts

ENVOY: Final = "caller's Envoy"
AGENT: Final = "caller's node agent"
_WHAT: Final = {"LDS": "listener", "RDS": "route", "CDS": "cluster", "EDS": "endpoints"}


def envoy_dead(facts: Facts) -> Verdict | None:
    caller = facts.caller
    if AGENT in facts.missing:
        return None
    if caller.proxy_state in {"RESTARTING", "STARTING", "STOPPED"}:
        code = f", its last end had code {caller.proxy_exit_code}" if caller.proxy_exit_code is not None else ""
        what = f"the Envoy of {caller.task} is {caller.proxy_state} ({caller.proxy_restarts} restarts{code})"
        return Verdict("envoy-down", what, f"tsunagu logs -c envoy {caller.task} says why", "proxy")
    if ENVOY not in facts.missing:
        return None
    what = no_answer(caller.task, facts.missing[ENVOY])
    remedy = f"it hangs or has just died; kill it, and it is started again; tsunagu logs -c envoy {caller.task}"
    return Verdict("envoy-silent", what, remedy, "proxy")


def refused(facts: Facts) -> Verdict | None:
    """A resource of this call that Envoy does not have, or has in an older form, since it refused the newest."""
    held = facts.held
    for short in _WHAT:
        words = (held.refused.get(short) if held else "") or _state(facts, short, "NACKED").error
        if words:
            what = f"the Envoy of {facts.caller.task} has refused the {_WHAT[short]} of {facts.target} ({short} NACKed): {words}"
            remedy = "it goes on with what it had before; tsunagu proxies --diff shows both"
            return Verdict("refused", what, remedy, _WHAT[short], blocks=_lacks(facts, short))
    return None


def held_back(facts: Facts) -> Verdict | None:
    own = facts.stream.resources if facts.stream else {}
    for short in _WHAT:
        mine, whole = own.get(short), _type(facts, short)
        for state in (mine, whole if mine is None or mine.state != "SYNCED" else None):
            if state and state.held and state.state != "SYNCED":
                verb = "are" if short == "EDS" else "is"
                what = (
                    f"the {_WHAT[short]} of {facts.target} {verb} kept back from {facts.caller.task} by hand (xds hold)"
                )
                remedy = f"tsunagu xds hold {facts.caller.task} {short} --release"
                return Verdict("held", what, remedy, _WHAT[short], blocks=_lacks(facts, short))
    return None


def disconnected(facts: Facts) -> Verdict | None:
    stream = facts.stream
    if stream is None or stream.connected or facts.caller.status != "RUNNING":
        return None
    what = f"the Envoy of {facts.caller.task} is not connected to the control plane, and goes on with what it has"
    remedy = f"tsunagu logs -c envoy {facts.caller.task} says why it cannot reach it"
    return Verdict("disconnected", what, remedy, "proxy", Sure.LIKELY, blocks=_lacks_any(facts))


def not_told(facts: Facts) -> Verdict | None:
    """The control plane has sent what this call needs and has no answer, or has not sent it."""
    for short, what in _WHAT.items():
        state = facts.stream.resources.get(short) if facts.stream else None
        if state is None or state.state not in {"STALE", "NOT_SENT"} or not _behind(facts, short):
            continue
        how = "has not answered for" if state.state == "STALE" else "has not been sent it for"
        text = f"the Envoy of {facts.caller.task} does not have the {what} of {facts.target} yet ({short}: it {how} {age(state.age)})"
        return Verdict("not-told", text, "tsunagu wait waits for it; tsunagu proxies says who is behind", what)
    if facts.lag and _lacks_any(facts):
        text = f"the control plane has not published the newest changes yet ({facts.lag} revisions behind)"
        return Verdict("not-published", text, "tsunagu wait waits for it", "proxy", Sure.LIKELY)
    return None


def warming(facts: Facts) -> Verdict | None:
    held = facts.held
    if held is None:
        return None
    for state, what in ((held.listener, "listener"), (held.cluster, "cluster")):
        if state == "warming":
            text = (
                f"the {what} of {facts.target} warms in the Envoy of {facts.caller.task}: it waits for another resource"
            )
            return Verdict("warming", text, f"tsunagu proxies {facts.caller.task} --diff says for which", what)
    return None


def absent(facts: Facts) -> Verdict | None:
    """Envoy lacks something, though the control plane believes that it has it."""
    held = facts.held
    if held is None or facts.alias is None or facts.lag:
        return None
    lacks = [what for what in ("listener", "route", "cluster") if not getattr(held, what)]
    if not lacks:
        return None
    text = f"the Envoy of {facts.caller.task} has no {lacks[0]} for {facts.target}, though the control plane has one"
    return Verdict("absent", text, f"tsunagu proxies {facts.caller.task} --diff shows the difference", lacks[0])


def not_in_hosts_file(facts: Facts) -> Verdict | None:
    alias, names = facts.alias, facts.hosts_file
    if alias is None or names is None or not alias.ip or facts.target.virtual:
        return None
    shown = names.get(alias.name)
    if shown == alias.ip:
        return None
    if shown is None:
        text = f"{alias.name} is not in /etc/hosts of {facts.caller.task} yet"
        return Verdict("no-hosts-line", text, "it is added once its Envoy has the listener", "name", tried=False)
    text = f"{alias.name} is {shown} in /etc/hosts of {facts.caller.task}, and {alias.ip} in the control plane"
    return Verdict(
        "old-address", text, f"restart it if that stays: tsunagu restart {facts.caller.service}", "name", tried=False
    )


def leads_elsewhere(facts: Facts) -> Verdict | None:
    held, alias = facts.held, facts.alias
    if held is None or alias is None or not alias.leads:
        return None
    call = f"{facts.target}{facts.target.path}"
    remedy = f"a resource is overridden: tsunagu proxies {facts.caller.task} --diff, tsunagu xds override --remove"
    if held.direct and not alias.answers:
        text = f"a route answers {call} by itself ({held.direct}), and passes it to nobody"
    elif held.cluster_name and held.cluster_name not in alias.leads:
        text = f"the route of {call} leads to {held.cluster_name}, where the registry means {', '.join(alias.leads)}"
    else:
        return None
    return Verdict("leads-elsewhere", text, remedy, "route", Sure.LIKELY, blocks=False)


def strange_endpoints(facts: Facts) -> Verdict | None:
    """Envoy has endpoints that are of no task of the service, and of none that has been."""
    held, alias = facts.held, facts.alias
    if held is None or alias is None or facts.lag or alias.resolved:
        return None
    known = {one.address for one in facts.providers} | {
        f"{one.ip}:{one.plain_port}" for one in facts.providers if one.tls
    }
    strange = sorted(one.address for one in held.hosts if one.address not in known)
    if not strange:
        return None
    text = (
        f"the Envoy of {facts.caller.task} sends calls of {facts.target} to {', '.join(strange[:3])}, which is no task of"
        f" {alias.service}"
    )
    remedy = f"a resource is overridden: tsunagu proxies {facts.caller.task} --diff, tsunagu xds override --remove"
    return Verdict("strange-endpoints", text, remedy, "endpoints", Sure.LIKELY, blocks=False)


def not_captured(facts: Facts) -> Verdict | None:
    """Envoy is there and has the listener, and nobody takes the connection: the rule that leads it to Envoy is gone."""
    held, answer = facts.held, facts.answer
    if held is None or held.listener != "active" or answer is None or not answer.refused or answer.timed_out:
        return None
    text = (
        f"a connection to {facts.target} does not get to the Envoy of {facts.caller.task} ({answer.words}), which has its"
        " listener: the rule that leads it there is gone from the task's network"
    )
    remedy = f"replace the task: tsunagu restart {facts.caller.service}"
    return Verdict("not-captured", text, remedy, "listener", Sure.LIKELY)


def answered_by_route(facts: Facts) -> Verdict | None:
    held, alias = facts.held, facts.alias
    if held is None or alias is None or not held.direct or not alias.answers:
        return None
    text = f"a Route answers {facts.target}{facts.target.path} by itself ({held.direct}; {held.matched})"
    return Verdict("route-answers", text, "tsunagu get routes lists them", "route", blocks=False)


def no_route(facts: Facts) -> Verdict | None:
    held, alias = facts.held, facts.alias
    if held is None or alias is None or not alias.is_http or not held.route or held.cluster_name or held.direct:
        return None
    text = f"no route of {facts.target} takes {facts.target.path or '/'}"
    return Verdict("no-route", text, f"tsunagu envoy {facts.caller.task} routes lists them", "route")


def agent_dead(facts: Facts) -> Verdict | None:
    """Nothing of the caller could be seen; the registry shows no fault."""
    words = facts.missing.get(AGENT)
    if not words:
        return None
    text = (
        f"{words}, so that nobody can see what the Envoy of {facts.caller.task} has; tasks and calls go on without it"
    )
    return Verdict(
        "agent-down", text, "tsunagu up starts it again; its log says why it ended", "proxy", Sure.NO, blocks=False
    )


def _type(facts: Facts, short: str) -> TypeState | None:
    return next((one for one in (facts.stream.types if facts.stream else ()) if one.type == short), None)


def _state(facts: Facts, short: str, state: str) -> TypeState:
    """The state of this call's own resource of a type, if it is that one."""
    found = facts.stream.resources.get(short) if facts.stream else None
    return found if found and found.state == state else TypeState(short, "")


def _behind(facts: Facts, short: str) -> bool:
    """Whether Envoy differs from what is meant. It may have answered in the meantime, or the change may not matter."""
    held = facts.held
    if held is None:
        return True
    if short == "EDS":
        return {one.address for one in held.hosts} != {one.address for one in facts.serving}
    return _lacks(facts, short)


def _lacks(facts: Facts, short: str) -> bool:
    held = facts.held
    if held is None:
        return False
    has = {"LDS": held.listener, "RDS": held.route, "CDS": held.cluster, "EDS": bool(held.hosts)}
    return not has[short]


def _lacks_any(facts: Facts) -> bool:
    return any(_behind(facts, short) for short in _WHAT) if facts.held else False


RULES: Final = (
    envoy_dead,
    held_back,
    refused,
    not_told,
    disconnected,
    warming,
    absent,
    no_route,
    leads_elsewhere,
    strange_endpoints,
    not_captured,
    answered_by_route,
    not_in_hosts_file,
)
LAST: Final = (agent_dead,)
