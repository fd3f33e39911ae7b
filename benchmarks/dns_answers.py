"""What DNS costs and how soon it is right: answers a second and how long one takes, and how long a task that is gone stays in answers.

The questions come from another process, over the loopback's port, from one socket at a steady rate: so the figures are those of
the node agent, which shares the two cores with whoever asks.
"""

import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dns.message

from benchmarks import report
from tsunagu.testing import Mesh

EXAMPLE = Path(__file__).parents[1] / "examples" / "07-outside-callers" / "mesh.yaml"
NAME = "users.corp.internal"
SECONDS = 5.0
RATES = (500, 4000)  # questions a second; an asker is answered 5,000
IN_FLIGHT = 16
TASKS, DEATHS = 8, 6  # an answer has eight addresses, so that one which is missing is gone
_PATIENCE = 10.0


def run() -> dict[str, Any]:
    """Answers a second, p50 and p99, of A and SRV records; how long a killed and a stopped task stay in answers."""
    rows: dict[str, Any] = {}
    with Mesh(EXAMPLE, runtime="linux") as mesh:
        mesh.wait_steady()
        place = mesh.get("Node", "laptop").node.dns
        for kind in ("A", "SRV"):
            for rate in RATES:
                rows[f"{kind}, {rate} a second"] = _asked(place, kind, rate)
        rows["killed"] = _gone(mesh, place, lambda task: mesh.kill(f"app:{task}"))
        rows["stopped"] = _gone(mesh, place, mesh.stop)
    for name, row in rows.items():
        report.line(name, ", ".join(f"{key} {value}" for key, value in row.items()))
    return rows


def _asked(place: str, kind: str, rate: int) -> dict[str, float]:
    """What the asking process saw."""
    command = [sys.executable, "-m", "benchmarks.dns_answers", place, kind, str(rate), str(SECONDS)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return found


def _gone(mesh: Mesh, place: str, end: Any) -> dict[str, float]:
    """Milliseconds from the end of a task, or the request that it stop, to the first answer without it."""
    times = []
    mesh.scale("users", TASKS)
    mesh.wait_steady(180)
    for task in mesh.tasks("users")[:DEATHS]:
        ip = task.task.status.twin.ip
        end(task.meta.name.rpartition("/")[2])
        times.append(_until_gone(place, ip) * 1000)
    return {
        "median ms": round(statistics.median(times), 1),
        "max ms": round(max(times), 1),
        "rounds": len(times),
    }


def _until_gone(place: str, ip: str) -> float:
    host, _, port = place.rpartition(":")
    begun = time.perf_counter()
    raw = dns.message.make_query(NAME, "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((host, int(port)))
        while time.perf_counter() - begun < _PATIENCE:
            asking.send(raw)
            if socket.inet_aton(ip) not in asking.recv(4096):
                return time.perf_counter() - begun
    raise RuntimeError(f"{ip} is still in answers after {_PATIENCE} s")


def ask(place: str, kind: str, rate: int, seconds: float) -> dict[str, float]:
    """Ask so many questions a second, whether or not they are answered, but for `IN_FLIGHT` at once; take the time of each."""
    host, _, port = place.rpartition(":")
    raw = dns.message.make_query(NAME, kind, use_edns=0, payload=1232).to_wire()[2:]
    sent: dict[int, float] = {}
    taken: list[float] = []
    number, begun = 0, time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, selectors.DefaultSelector() as selector:
        asking.connect((host, int(port)))
        selector.register(asking, selectors.EVENT_READ)
        while (now := time.perf_counter()) < begun + seconds:
            due = begun + number / rate
            if now >= due and len(sent) < IN_FLIGHT:
                sent[number % 65536] = now
                asking.send((number % 65536).to_bytes(2, "big") + raw)
                number += 1
            elif selector.select(max(0.0, min(due - now, 0.5))):
                answer = asking.recv(4096)
                taken.append(time.perf_counter() - sent.pop(int.from_bytes(answer[:2], "big")))
    taken.sort()
    return {
        "answers a second": round(len(taken) / seconds),
        "p50 ms": round(taken[len(taken) // 2] * 1000, 3),
        "p99 ms": round(taken[len(taken) * 99 // 100] * 1000, 3),
        "lost": max(0, number - len(taken) - IN_FLIGHT),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ask(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
