"""What importing costs, each time in an interpreter that has imported nothing yet.

The measure of `tsunagu.XdsServer` is what it stands on: grpc.aio, and protobuf as any generated stub loads it.
"""

import statistics
import subprocess
import sys
from typing import Any

from benchmarks import report

ROUNDS = 10
BASE = "import grpc.aio, google.protobuf.struct_pb2"
STATEMENTS = {
    "grpc and protobuf alone": BASE,
    "import tsunagu; tsunagu.XdsServer": "import tsunagu; tsunagu.XdsServer",
    "import tsunagu": "import tsunagu",
    "the pytest plugin, beside pytest": "import tsunagu.testing.plugin",
}
_SCRIPT = """
import time
{before}
begun = time.perf_counter()
{statement}
print(time.perf_counter() - begun)
"""


def run() -> dict[str, Any]:
    """Seconds of an import in a fresh interpreter, its own start not counted; each statement in turn, ten times."""
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            seconds[name].append(_seconds(statement))
    for name, found in seconds.items():
        report.line(name, report.milliseconds(report.spread(found)))
    base, ours = (statistics.median(seconds[name]) for name in list(STATEMENTS)[:2])
    report.line("XdsServer over grpc and protobuf (2.2 at most)", f"{ours / base:.2f}")
    return {"seconds": seconds, "ratio": ours / base}


def _seconds(statement: str) -> float:
    before = "import pytest" if "plugin" in statement else ""
    code = _SCRIPT.format(before=before, statement=statement)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)
