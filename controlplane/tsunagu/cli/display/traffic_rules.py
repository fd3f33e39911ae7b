"""The rules of an alias or of a gateway in words: what they match, what becomes of a request, how it is tried, who says so.

The one rule: the words follow from the settled rule that `translate` is given, so that what is shown is what proxies have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.mesh.traffic.model import Answer, Forward, Redirect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.mesh.traffic.model import Condition, Destination, Match, Rule

_PATH: Final = {"prefix": "{}*", "exact": "{}", "regex": "~ {}"}
_VALUE: Final = {
    "present": "{name}",
    "exact": "{name}={value}",
    "prefix": "{name}={value}*",
    "suffix": "{name}=*{value}",
    "regex": "{name} ~ {value}",
    "range": "{name} in {low}..{high}",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of a front in words."""

    front: str
    rule: str  # the object that says it; empty: Service Connect
    matches: str
    action: str
    tries: str
    source: str  # file and line of the manifest, or who else says it


def line(front: str, rule: Rule, sources: Mapping[str, str], *, hosts: tuple[str, ...] = ()) -> Line:
    """Return a rule in words. `sources`: name of a Route -> file and line."""
    source = sources.get(rule.name, "")
    if rule.name.startswith("test/"):
        source = f"the deployment of {rule.name.removeprefix('test/')}"
    return Line(
        front,
        rule.name,
        matched(rule.match, hosts),
        done(rule),
        tried(rule),
        source or (rule.name and "-") or "Service Connect",
    )


def matched(match: Match, hosts: tuple[str, ...] = ()) -> str:
    """What has to hold of a request; "everything" if nothing has to."""
    words = [" or ".join(hosts)] if hosts else []
    words += [match.method] if match.method else []
    if (match.path_kind, match.path) != ("prefix", "/"):
        words.append(_PATH[match.path_kind].format(match.path))
    words += [f"header {_condition(one)}" for one in match.headers]
    words += [f"?{_condition(one)}" for one in match.query]
    return ", ".join(words) or "everything"


def _condition(one: Condition) -> str:
    low, high = one.numbers
    words = _VALUE[one.kind].format(name=one.name, value=one.value, low=low, high=high - 1)
    return f"not {words}" if one.invert else words


def done(rule: Rule) -> str:
    """What becomes of a request."""
    match rule.action:
        case Redirect() as to:
            place = f"{to.scheme or ''}{'://' if to.scheme else ''}{to.host}{f':{to.port}' if to.port else ''}"
            return f"{to.status}, elsewhere: {place}{to.path or (to.prefix and to.prefix + '*')}"
        case Answer() as answer:
            return f"answered with {answer.status}"
        case Forward(targets=()):
            return "answered with 503: no destination is there"
        case Forward() as forward:
            total = sum(one.weight for one in forward.targets)
            shares = [
                _destination(one.to)
                if len(forward.targets) == 1
                else f"{100 * one.weight / total:g} % {_destination(one.to)}"
                for one in forward.targets
            ]
            copy = (
                f", {forward.mirror.percent:g} % copied to {_destination(forward.mirror.to)}" if forward.mirror else ""
            )
            return ", ".join(shares) + copy


def _destination(to: Destination) -> str:
    return f"{to.discovery_name} ({to.revision.rpartition('/')[2]})" if to.revision else to.discovery_name


def tried(rule: Rule) -> str:
    """How long, how often, and what is done to it on purpose."""
    words = []
    if isinstance(rule.action, Forward) and rule.action.targets:
        limit = rule.limits.request or 0
        words.append(f"{limit / 1000:g} s" if limit else "no limit")
        times = rule.retry.times if rule.retry is not None else 0
        careful = ", idempotent alone" if rule.retry is not None and rule.retry.only_idempotent else ""
        words.append(f"{times} retries{careful}" if times else "no retry")
    if rule.fault is not None and rule.fault.delay:
        words.append(f"{rule.fault.delay_percent:g} % delayed by {rule.fault.delay} ms")
    if rule.fault is not None and rule.fault.abort_percent:
        status = rule.fault.http_status or f"gRPC {rule.fault.grpc_status}"
        words.append(f"{rule.fault.abort_percent:g} % aborted with {status}")
    return ", ".join(words) or "-"
