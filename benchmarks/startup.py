"""From `tsunagu up` of the shop to the first successful request through two Envoys, and where the time goes."""

import socket
import statistics
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks import report
from tsunagu.testing import Mesh

SHOP = Path(__file__).parents[1] / "examples" / "01-shop" / "shop.yaml"
ROUNDS = 5
PHASES = ("registry answers and a node is there", "manifests applied", "last task RUNNING", "first request answered")


def run() -> dict[str, Any]:
    """From `tsunagu up` of the shop to the first successful request through two Envoys (web -> orders -> inventory)."""
    rounds = [_one() for _ in range(ROUNDS)]
    for phase in PHASES:
        report.line(phase, report.milliseconds(report.spread([marks[phase] for marks in rounds])))
    total = report.spread([marks[PHASES[-1]] for marks in rounds])
    return {"rounds": rounds, "seconds": total, "median": statistics.median(marks[PHASES[-1]] for marks in rounds)}


def _one() -> dict[str, float]:
    port = _free_port()
    begun, begun_wall = time.monotonic(), time.time()
    with Mesh(SHOP, publish=[f"{port}=web:80"]) as mesh:
        marks = {PHASES[0]: time.monotonic() - begun}
        while not _answers(port):
            if time.monotonic() - begun > 30:
                raise TimeoutError("the shop does not answer")
            time.sleep(0.02)  # seldom enough not to take the cores from what is measured
        marks[PHASES[3]] = time.monotonic() - begun
        mesh.wait_steady()
        tasks = [task.task.status for task in mesh.tasks()]
        marks[PHASES[1]] = min(_seconds(status.created_at) for status in tasks) - begun_wall
        marks[PHASES[2]] = max(_seconds(status.started_at) for status in tasks) - begun_wall
    return marks


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _seconds(stamp: Any) -> float:
    return stamp.seconds + stamp.nanos / 1e9


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
