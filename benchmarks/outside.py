"""What a call costs that leaves the mesh: from a task of the linux runtime through the relay to an echo of this machine, beside the
same call without either.

The caller and the echo are the same in both rows; what differs is the bridge, the kernel's rules and the relay. CPU is the relay's own.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

HOST = "host.tsunagu.internal"
REQUESTS, CONNECTIONS, MEGABYTES = 20_000, 2_000, 512
WIDE = 16
_TICKS = os.sysconf("SC_CLK_TCK")
_MANIFEST = """
kind: TaskDefinition
family: caller
networkMode: awsvpc
containerDefinitions: [{{name: app, image: caller, command: ["{python}", "-c", "import time; time.sleep(86400)"]}}]
---
kind: Service
serviceName: caller
taskDefinition: caller
desiredCount: 1
"""

#: Run with JSON [host, port, what, how many, how many at once]; prints JSON of seconds and, of requests, microseconds.
_CALLER = r"""
import json, socket, statistics, sys, threading, time

host, port, what, many, wide = json.loads(sys.argv[1])
address = socket.gethostbyname(host)
took = []

def connected():
    one = socket.create_connection((address, port), 10)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one

def ask(one):
    begun = time.perf_counter()
    one.sendall(b"x" * 64)
    one.recv(64, socket.MSG_WAITALL)
    took.append(time.perf_counter() - begun)

def requests():
    with connected() as one:
        for _ in range(many // wide):
            ask(one)

def connections():
    for _ in range(many // wide):
        with connected() as one:
            ask(one)

def megabytes():
    piece = bytes(1 << 20)
    with connected() as one:
        def take():
            left = many << 20
            while left:
                left -= len(one.recv(1 << 20))
        taking = threading.Thread(target=take)
        taking.start()
        for _ in range(many):
            one.sendall(piece)
        taking.join()

begun = time.perf_counter()
threads = [threading.Thread(target=globals()[what]) for _ in range(wide)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(json.dumps({"seconds": time.perf_counter() - begun, "p50": statistics.median(took) * 1e6 if took else None}))
"""
_LOADS = (
    ("requests, one at a time", "requests", REQUESTS, 1),
    (f"requests, {WIDE} at a time", "requests", REQUESTS, WIDE),
    ("new connections", "connections", CONNECTIONS, 1),
    ("1 MiB pieces, there and back", "megabytes", MEGABYTES, 1),
)


def run(share: float = 1.0) -> dict[str, Any]:
    """CPU of the relay and p50, per request, new connection and MiB; and p50 of the same without relay. `share`: of the full loads."""
    rows: dict[str, Any] = {}
    with _echo() as port, tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "mesh.yaml"
        manifest.write_text(_MANIFEST.format(python=sys.executable))
        with Mesh(manifest, runtime="linux") as mesh:
            mesh.wait_steady()
            (task,) = mesh.tasks("caller")
            relay = json.loads((mesh.home.root / "outside.json").read_text())["pid"]
            inside = partial(_inside, mesh, task_id(task))
            for name, what, full, wide in _LOADS:
                many = max(wide, int(full * share))
                before = _cpu(relay)
                seen = inside(json.dumps([HOST, port, what, many, wide]))
                cpu = (_cpu(relay) - before) / many * 1e6
                plain = _outside(json.dumps(["127.0.0.1", port, what, many, wide]))
                rows[name] = _row(seen, plain, many, cpu)
            rows["memory"] = {"relay, MiB": round(_memory(relay) / 1024, 1)}
    for name, row in rows.items():
        report.line(name, ", ".join(f"{key} {value}" for key, value in row.items()))
    return rows


def _row(seen: dict[str, float], plain: dict[str, float], many: int, cpu: float) -> dict[str, float]:
    if seen["p50"] is None:
        return {
            "relay CPU us": round(cpu),
            "MiB/s": round(many / seen["seconds"]),
            "without": round(many / plain["seconds"]),
        }
    return {"relay CPU us": round(cpu, 1), "p50 us": round(seen["p50"], 1), "without": round(plain["p50"], 1)}


def _inside(mesh: Mesh, task: str, load: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mesh.execute(task, sys.executable, "-c", _CALLER, load).text)
    return found


def _outside(load: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _CALLER, load], capture_output=True, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _cpu(pid: int) -> float:
    """Seconds of CPU that the process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@contextmanager
def _echo() -> Iterator[int]:
    """An echo of a process of its own, at this machine's loopback."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.outside"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _serve() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_repeat, args=(client,), daemon=True).start()


def _repeat(client: socket.socket) -> None:
    with client:
        while piece := client.recv(1 << 18):
            client.sendall(piece)


if __name__ == "__main__":
    _serve()
