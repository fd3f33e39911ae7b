"""What a proxy is to have against what its Envoy has, resource by resource.

The rule: no false difference. With delta the version that Envoy shows is the hash of the bytes that it was sent: when
that is the one that it is to have, it has it, and nothing is compared. Everything else is compared by what it says.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsunagu.cli.compare import normalize
from tsunagu.cli.output import age, as_yaml
from tsunagu.xds.resources import EDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.cli.compare.config_dump import Dump, Entry, Held
    from tsunagu.cli.compare.normalize import Tree

SAME, DIFFERS, REFUSED, WARMING = "same", "differs", "refused", "warming"
ONLY_HERE, ONLY_THERE, DRAINING = "only in the control plane", "only in Envoy", "draining"
NOT_COMPARED = "not compared"

#: Verdicts that are no difference.
AGREES = frozenset({SAME, DRAINING, NOT_COMPARED})
COMPARED = ("CDS", "EDS", "LDS", "RDS", "SDS")


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one resource. `diff`: lines of a unified diff of the two as YAML, from the control plane's to Envoy's."""

    type: str
    name: str
    word: str
    why: str = ""
    diff: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        return self.word in AGREES


def compare(resources: Iterable[Any], dump: Dump) -> list[Verdict]:
    """`resources`: of Inspector.Resources. Their order is kept; then what only Envoy has, by type and name."""
    left = dict(dump.entries)
    verdicts = [_verdict_of(one, left.pop((one.type, one.name), None)) for one in resources]
    strange = [_strange(short, name, entry) for (short, name), entry in sorted(left.items())]
    return [verdict for verdict in (*verdicts, *strange) if verdict is not None]


def _verdict_of(wanted: Any, entry: Entry | None) -> Verdict | None:
    if not wanted.version:
        return _strange(wanted.type, wanted.name, entry, _how_far(wanted)) if entry else None
    if wanted.type not in COMPARED:
        return Verdict(wanted.type, wanted.name, NOT_COMPARED, "config_dump does not show this type by name")
    held = (entry.warming or entry.active) if entry else None
    error = " ".join((wanted.error or (entry.error if entry else "")).split())
    differs = _differs(wanted, held) if held else None
    if error:
        return Verdict(wanted.type, wanted.name, REFUSED, error, differs or ())
    if held is None:
        return Verdict(wanted.type, wanted.name, ONLY_HERE, _how_far(wanted))
    if differs is not None:
        return Verdict(wanted.type, wanted.name, DIFFERS, _how_far(wanted), differs)
    if entry is not None and entry.warming is not None:
        return Verdict(wanted.type, wanted.name, WARMING, _how_far(wanted))
    return Verdict(wanted.type, wanted.name, SAME)


def _strange(short: str, name: str, entry: Entry | None, why: str = "") -> Verdict | None:
    if entry is not None and (entry.active or entry.warming):
        return Verdict(short, name, ONLY_THERE, why)
    return Verdict(short, name, DRAINING) if entry is not None and entry.draining else None


def _how_far(wanted: Any) -> str:
    """The control plane's record of a resource that Envoy lacks or has with other content."""
    since = age(wanted.age_seconds)
    return {
        "SYNCED": "acknowledged",
        "STALE": f"sent and not acknowledged, or not sent yet, for {since}",
        "NOT_SENT": "not sent",
        "NACKED": "refused",
    }.get(wanted.state, str(wanted.state))


def _differs(wanted: Any, held: Held) -> tuple[str, ...] | None:
    """The difference; None when there is none."""
    if held.version and held.version == wanted.version:
        return None
    if held.content is None or not wanted.body:
        return ("(secret)",)
    try:
        ours = normalize.of_body(wanted.type_url, wanted.body)
    except normalize.Unreadable as error:
        return (f"({error}; Envoy has version {held.version or 'unknown'}, it is to have {wanted.version})",)
    theirs = normalize.hidden(normalize.of_dump(wanted.type_url, held.content))
    shown = normalize.veiled(normalize.hidden(ours), theirs)
    if wanted.type_url == EDS:
        theirs = normalize.without_live_health(shown, theirs)
    if shown != theirs:
        return tuple(_unified(shown, theirs))
    return None if shown == ours or wanted.state == "SYNCED" else ("(a secret in it)",)


def _unified(ours: Tree, theirs: Tree) -> Iterator[str]:
    """Without the two lines of file names."""
    lines = difflib.unified_diff(as_yaml(ours).splitlines(), as_yaml(theirs).splitlines(), lineterm="", n=3)
    yield from list(lines)[2:]
