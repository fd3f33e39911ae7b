"""Takes the rules of the xDS session away, one at a time: each must be missed by a test, or it is not tested.

    python tests/mutation/session_rules.py [words of a rule ...]

Each mutant is a copy of the tree with one snippet replaced. Prints a table; exits 1 if a mutant survives. That every
snippet still stands in the source, once, is checked by tests/mutation/test_session_rules.py in the ordinary run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
XDS = Path("controlplane/xds")
TESTS = ("tests/transcripts", "tests/unit/xds")
LIMIT = 120.0  # s; a mutant that hangs is found


@dataclass(frozen=True)
class Rule:
    """`file`: under controlplane/xds. Without the rule `snippet` reads `without`."""

    name: str
    file: str
    snippet: str
    without: str


RULES = (
    Rule(
        "SotW: one response of a type at a time",
        "sotw.py",
        "    if watch.outstanding:\n        return []\n",
        "",
    ),
    Rule(
        "SotW: a stale nonce is ignored",
        "sotw.py",
        "if request.nonce and request.nonce != watch.nonce:",
        "if False:",
    ),
    Rule(
        "SotW: the repeated request for endpoints of a changed cluster is answered",
        "sotw.py",
        "    watch.recheck = (watch.recheck or set()) | names\n",
        "    watch.recheck = None\n",
    ),
    Rule(
        "SotW: an equal version spares the answer",
        "sotw.py",
        "unchanged = bool(watch.claims) and watch.claims == watch.group.version",
        "unchanged = False",
    ),
    Rule(
        "SotW: a version spares only LDS and CDS",
        "sotw.py",
        "return request.version if watch.type.full_state else None",
        "return request.version",
    ),
    Rule(
        "SotW: what is missing is silence in RDS and EDS",
        "sotw.py",
        "return _send(session, watch, news, news, now) if news.upserts else []",
        "return _send(session, watch, news, news, now)",
    ),
    Rule(
        "SotW: LDS and CDS are sent whole",
        "sotw.py",
        "_overlaid(watch, kept) if kept else watch.group.full(), news, now)",
        "news, news, now)",
    ),
    Rule(
        "SotW: what is held back is replaced by what the client has",
        "sotw.py",
        "_overlaid(watch, kept) if kept else watch.group.full()",
        "watch.group.full()",
    ),
    Rule(
        "SotW: names that do not exist are waited for in silence",
        "sotw.py",
        "for name in added if watch.group.current(name) is not None",
        "for name in added",
    ),
    Rule(
        "SotW: a legacy wildcard stays one while no name was sent",
        "subscription.py",
        "    if not names and now.wildcard is Wildcard.LEGACY:\n        return now\n",
        "",
    ),
    Rule(
        "delta: `*` and nothing else ends a wildcard",
        "subscription.py",
        "    if STAR in drop:\n        wildcard = Wildcard.NONE\n",
        "    if add or drop:\n        wildcard = Wildcard.NONE\n",
    ),
    Rule(
        "delta: a name in both lists is subscribed",
        "subscription.py",
        "frozenset(drop) - added - star)",
        "frozenset(drop) - star)\n    # without: dropped after it was added",
    ),
    Rule(
        "delta: a stale nonce does not lose the names",
        "delta.py",
        "    if request.names or request.dropped:\n",
        "    if (request.names or request.dropped) and request.nonce in ('', watch.nonce):\n",
    ),
    Rule(
        "delta: a name asked for is answered always",
        "delta.py",
        '    watch.owe((name for name in request.names if name != STAR), "subscribe")\n',
        "",
    ),
    Rule(
        "delta: a name let go under a wildcard is told",
        "delta.py",
        'watch.owe(known.difference(request.names), "subscribe")',
        "pass",
    ),
    Rule(
        "delta: a wildcard that joins sends what was not asked for",
        "delta.py",
        "        _begin_wildcard(watch, before.names.names)\n",
        "        pass\n",
    ),
    Rule(
        "delta: claims are compared",
        "delta.py",
        "    if watch.claims:\n        _compare(watch)\n",
        "",
    ),
    Rule(
        "delta: claims of endpoints and secrets are not believed",
        "delta.py",
        "request.initial and not watch.type.always_answered",
        "request.initial",
    ),
    Rule(
        "delta: what a client claims and is gone is removed",
        "delta.py",
        "            lacks[name] = _claimed(watch, name, version)\n",
        "            continue\n",
    ),
    Rule(
        "delta: a missing name that was not claimed is told",
        "delta.py",
        '    watch.owe((name for name in missing if watch.group.current(name) is None), "reconnect")\n',
        "",
    ),
    Rule(
        "delta: endpoints follow their changed cluster",
        "delta.py",
        '    watch.owe(names, "cluster changed", again=True)\n',
        "    return\n",
    ),
    Rule(
        "delta: no name is in flight twice",
        "watch.py",
        "            if self.in_flight(frozenset((name,))):\n                continue\n",
        "",
    ),
    Rule(
        "delta: nor by the shared step",
        "watch.py",
        "if not held and not self.in_flight(news.names):",
        "if not held:",
    ),
    Rule(
        "there and back is no change",
        "watch.py",
        "if new is not None and (name in owed or not same(new, old)):",
        "if new is not None:",
    ),
    Rule(
        "what was never there is not removed",
        "watch.py",
        "self.type.removable and (name in owed or old is not None)",
        "self.type.removable",
    ),
    Rule(
        "secrets and extensions are never removed (waiting ones)",
        "watch.py",
        "elif new is None and self.type.removable and",
        "elif new is None and",
    ),
    Rule(
        "a name let go is owed nothing",
        "watch.py",
        "            (self.exceptions or {}).pop(name, None)\n",
        "",
    ),
    Rule(
        "a name let go is not in flight",
        "watch.py",
        "                waiting.names -= gone\n",
        "                pass\n",
    ),
    Rule(
        "who asks for nothing owes no answer",
        "watch.py",
        "            self.outstanding.clear()\n",
        "",
    ),
    Rule(
        "a refusal is noted",
        "watch.py",
        "        self.rejections.update(dict.fromkeys(names, Rejection(message, waiting.floor, now)))\n",
        "",
    ),
    Rule(
        "an ACK of other names does not heal a refusal",
        "watch.py",
        "if whole or name in waiting.names or name == STAR]",
        "]",
    ),
    Rule(
        "a stream takes what it lacks along when it asks for more",
        "watch.py",
        "        self.absorb()\n        before = self.group\n",
        "        before = self.group\n",
    ),
    Rule(
        "secrets and extensions are never removed",
        "group.py",
        "if old is not None and self.type.removable:",
        "if old is not None:",
    ),
    Rule(
        "a type that nobody knows is not answered with removals",
        "group.py",
        "if resource is None and self.type.removable)",
        "if resource is None)",
    ),
    Rule(
        "endpoints of a known cluster are empty, not missing",
        "bundle.py",
        "if resource is None and type_url == EDS and name in self._assigned:",
        "if False:",
    ),
    Rule(
        "a masked name does not exist",
        "bundle.py",
        "        if self.mask is not SEE_ALL and self.mask.hides(type_url, name):\n            return None\n",
        "",
    ),
    Rule(
        "nothing is said before the source is synced",
        "session.py",
        "        if not self.catalog.synced:\n",
        "        if False:\n",
    ),
    Rule(
        "types leave in order",
        "session.py",
        "sorted(self.watches.values(), key=lambda watch: watch.type.order)",
        "list(self.watches.values())",
    ),
    Rule(
        "removals of clusters get a second look",
        "session.py",
        "        if clusters is not None and clusters.removals_held_since is not None:\n",
        "        if False:\n",
    ),
    Rule(
        "no nonce is used twice",
        "session.py",
        "        self._counter += 1\n",
        "        self._counter = 1\n",
    ),
    Rule(
        "a missing type_url ends an aggregated stream",
        "session.py",
        "        if not url:\n",
        "        if False:\n",
    ),
    Rule(
        "a service of one type serves no other",
        "session.py",
        "        if self.type_url and url != self.type_url:\n",
        "        if False:\n",
    ),
    Rule(
        "a first message without a node is refused",
        "session.py",
        "        if request.node is None or not request.node.id:\n",
        "        if request.node is None:\n",
    ),
    Rule(
        "legacy wildcards are for those who know them",
        "session.py",
        "legacy = kind.full_state and self.scope.legacy_wildcard",
        "legacy = kind.full_state",
    ),
    Rule(
        "listeners and routes wait for new clusters",
        "order.py",
        "return Hold(until, until) if until > now else OPEN",
        "return OPEN",
    ),
    Rule(
        "... of which the client has not heard yet",
        "order.py",
        "            if waiting.introduces\n",
        "",
    ),
    Rule(
        "... and not longer than a second",
        "order.py",
        "waiting.sent_at + WARMING_HOLD",
        "waiting.sent_at + 1000",
    ),
    Rule(
        "clusters go after the routes to them",
        "order.py",
        "return Hold(removals_until=until) if until > now else OPEN",
        "return OPEN",
    ),
    Rule(
        "... and wait five seconds, not for ever",
        "order.py",
        "+ REMOVAL_HOLD",
        "+ 1000",
    ),
    Rule(
        "... also when the routes were refused",
        "order.py",
        "other.pending or other.outstanding or other.current_rejections() for",
        "other.pending or other.outstanding for",
    ),
    Rule(
        "endpoints go after their cluster",
        "order.py",
        "            return Hold(removals_until=inf)\n",
        "            return OPEN\n",
    ),
    Rule(
        "the barrier waits for the answer",
        "status.py",
        "        if waiting.floor <= revision:\n",
        "        if False:\n",
    ),
    Rule(
        "the barrier waits for what is not sent",
        "status.py",
        "    if _lacks(watch, revision):\n",
        "    if False:\n",
    ),
    Rule(
        "the barrier does not take a refusal for an answer",
        "status.py",
        "        if said.floor <= revision:\n",
        "        if False:\n",
    ),
)


def mutate(tree: Path, rule: Rule) -> None:
    """Take the rule away in a copy of the tree."""
    path = tree / XDS / rule.file
    path.write_text(path.read_text().replace(rule.snippet, rule.without))


def copy(into: Path) -> None:
    """What the tests of xds need of the tree."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in (XDS, Path("proto"), *map(Path, TESTS)):
        shutil.copytree(ROOT / folder, into / folder, ignore=ignore)
    for file in ("pyproject.toml", "controlplane/__init__.py"):
        shutil.copy(ROOT / file, into / file)


def missed(rule: Rule) -> bool:
    """True when a test fails without the rule."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        mutate(tree, rule)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "--no-header",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:tsunagu",
            *TESTS,
        ]
        environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return True
        if done.returncode not in (0, 1):
            sys.exit(f"the tests could not run:\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.returncode == 1


def main(words: list[str]) -> int:
    """Try the rules that bear one of the words, or all."""
    survivors = 0
    for rule in RULES:
        if words and not any(word in rule.name for word in words):
            continue
        found = missed(rule)
        survivors += not found
        print(f"{'missed  ' if found else 'SURVIVED'}  {rule.file:<16} {rule.name}", flush=True)
    print(f"{survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
