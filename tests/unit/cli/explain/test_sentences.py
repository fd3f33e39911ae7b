"""The sentences that explain a timeline, as golden files.

TSUNAGU_REWRITE=1 writes down what is said; review the difference. A section starts at `# `; above its `----` is an event a
line, below it what is said of them. An event is: the time in seconds, PROXY/STREAM (`-` for the control plane), its kind,
its type, its names; then, as far as they matter, -NAME (removed), r=REVISION, why="...", nonce=, took= (seconds), bytes=,
says="...", more=. Nonces of a stream begin with its number. The last line of a section may be `now 9.5`.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path

import pytest

from tsunagu.cli.explain.sentences import explain
from tsunagu.v1 import inspector_pb2 as pb

REWRITE = bool(os.environ.get("TSUNAGU_REWRITE"))
FILE = Path(__file__).with_name("sentences.txt")
BASE = 1_764_000_000
SECTIONS = re.split(r"(?m)^(?=# )", FILE.read_text())[1:]


def event(number: int, line: str) -> pb.TimelineEvent:
    at, who, kind, *words = shlex.split(line)
    given = dict(word.split("=", 1) for word in words if re.match(r"[a-z]+=", word))
    plain = [word for word in words if not re.match(r"[a-z]+=", word)]
    proxy, _, stream = who.partition("/")
    made = pb.TimelineEvent(
        sequence=number,
        kind=kind,
        proxy="" if proxy == "-" else f"default/{proxy}",
        stream=stream,
        variant=given.get("variant", "delta") if stream else "",
        type=plain[0] if plain else "",
        names=[name for word in plain[1:] if word[0] != "-" for name in word.split(",")],
        removed=[name for word in plain[1:] if word[0] == "-" for name in word[1:].split(",")],
        nonce=given.get("nonce", ""),
        cause=given.get("why", ""),
        detail=given.get("says", "").replace("\\n", "\n"),
        revision=int(given.get("r", 0)),
        bytes=int(given.get("bytes", 0)),
        latency_seconds=float(given.get("took", 0)),
        more=int(given.get("more", 0)),
    )
    made.time.FromNanoseconds(BASE * 10**9 + round(float(at) * 1e9))
    return made


def explained(events: str) -> str:
    lines = [line for line in events.splitlines() if line and line[0] != "#"]
    now = float(lines.pop().split()[1]) if lines[-1].startswith("now ") else float(lines[-1].split()[0])
    made = [event(number, line) for number, line in enumerate(lines, 1)]
    return "\n".join(explain(made, BASE + now)) + "\n"


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.split("\n", 1)[0][2:])
def test_the_events_are_explained(section):
    events, _, expected = section.partition("\n----\n")
    said = explained(events)
    if REWRITE:
        FILE.write_text(FILE.read_text().replace(section, f"{events}\n----\n{said}\n"))
    else:
        assert said.strip() == expected.strip()
