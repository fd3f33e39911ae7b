"""Start of 1, 8 and 20 tasks at once in each runtime, where that time goes, and what a task weighs.

Both runtimes in one run, in turns, on the same machine: compare rows, not figures of different runs. The app is Python's own, with
its standard library alone; in the docker runtime it is in an image made of this machine's files.
"""

import asyncio
import itertools
import json
import os
import shutil
import statistics
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from tsunagu.testing import Mesh
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.definition.site import MESH, TASK, mesh_name
from tsunagu_node.runtime.docker.engine import answers, engine_api
from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.images import images
from tsunagu_node.runtime.docker.images.machine_image import of_programs

COUNTS = (1, 8, 20)
ROUNDS = 3
IMAGE = "tsunagu-bench-app:1"
PHASES = {"PROVISIONING": "network", "PENDING": "Envoy, names, container", "ACTIVATING": "listening"}
_APP = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(86400)"
_MIB = 1024 * 1024


def run() -> dict[str, Any]:
    """1, 8 and 20 tasks at once in each runtime: until RUNNING, the median task's share of each phase, memory of a task."""
    kinds = ["linux", *(["docker"] if _engine() else [])]
    rows: dict[str, Any] = {kind: {} for kind in kinds}
    for kind in kinds:
        for count in COUNTS:
            rows[kind][count] = {"rounds": []}
    for _ in range(ROUNDS):
        for kind in kinds:
            _round(kind, rows[kind])
    for kind in kinds:
        for count in COUNTS:
            _print(kind, count, rows[kind][count])
    return rows


def _engine() -> str:
    """The socket of an engine that has the app's image; empty when none answers."""
    try:
        socket = answers.endpoint("", os.environ)
    except RuntimeUnavailable:
        return ""
    if answers.refusal(socket):
        report.line("docker", "no engine answers; DOCKER_HOST names one")
        return ""
    asyncio.run(_load(socket))
    return socket


async def _load(socket: str) -> None:
    engine = Engine(socket)
    await engine.negotiate()
    contents = of_programs([Path(shutil.which("sleep") or "/bin/sleep")])
    contents.add(Path(sys.executable))
    await images.load(engine, IMAGE, contents)


def _round(kind: str, rows: dict[int, Any]) -> None:
    with Mesh(runtime=kind) as mesh:
        for count in COUNTS:
            service = f"app-{count}"
            mesh.apply(text=_manifests(service, count))
            mesh.wait_steady(180)
            ids = [task.meta.name.rpartition("/")[2] for task in mesh.tasks(service)]
            phases = _phases(mesh.home.root / "log" / "node.log", set(ids))
            weight = _memory(kind, mesh, set(ids))
            rows[count]["rounds"].append(
                {"memory_bytes": weight / count, "phases": phases, "seconds": _seconds(phases)}
            )
            mesh.delete("Service", f"default/{service}")
            mesh.wait_until(lambda service=service: not mesh.tasks(service), 120, f"the end of {service}")


def _manifests(service: str, count: int) -> str:
    container = {
        "name": "app",
        "image": IMAGE,
        "command": [sys.executable, "-I", "-S", "-c", _APP],
        "portMappings": [{"name": "http", "containerPort": 8080, "appProtocol": "http"}],
        "stopTimeout": 0,
    }
    definition = {
        "kind": "TaskDefinition",
        "family": service,
        "networkMode": "awsvpc",
        "containerDefinitions": [container],
    }
    connect = {
        "enabled": True,
        "namespace": "bench",
        "services": [{"portName": "http", "clientAliases": [{"port": 80}]}],
    }
    made = {"kind": "Service", "serviceName": service, "taskDefinition": service, "desiredCount": count}
    made["serviceConnectConfiguration"] = connect
    documents = ({"kind": "Namespace", "name": "bench"}, definition, made)
    return "\n---\n".join(json.dumps(document) for document in documents)


def _phases(log: Path, ids: set[str]) -> list[dict[str, float]]:
    """For each task: the time at which it began (seconds since the epoch), and the seconds of each phase."""
    times: dict[str, dict[str, float]] = {one: {} for one in ids}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        task = str(entry.get("task", "")).rpartition("/")[2]
        if task in ids and "status" in entry:
            times[task][entry["status"]] = datetime.fromisoformat(entry["timestamp"]).timestamp()
    order = [*PHASES, "RUNNING"]
    return [
        {
            "begun": at["PROVISIONING"],
            **{one: at[after] - at[one] for one, after in itertools.pairwise(order)},
        }
        for at in times.values()
    ]


def _seconds(phases: list[dict[str, float]]) -> float:
    """From the first task's begin to the last one's RUNNING."""
    ends = [task["begun"] + sum(task[phase] for phase in PHASES) for task in phases]
    return max(ends) - min(task["begun"] for task in phases)


def _memory(kind: str, mesh: Mesh, ids: set[str]) -> int:
    """Bytes that the tasks' processes have for themselves, their part of what they share counted (PSS)."""
    if kind == "linux":
        return sum(_pss(one.pid) for one in mesh.processes().everything if one.task in ids)
    label = f"{MESH}={mesh_name(mesh.home.root)}"
    found = engine_api.call(answers.endpoint("", os.environ), "GET", engine_api.filtered("/containers/json", label))
    containers = {one["Id"] for one in found if one["Labels"][TASK] in ids}
    total = 0
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        if "containerd-shim" in words[0] and containers & set(words):
            total += sum(_pss(one.pid) for one in (process, *process.children(recursive=True)))
    return total


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _print(kind: str, count: int, row: dict[str, Any]) -> None:
    rounds = row["rounds"]
    seconds = report.spread([one["seconds"] for one in rounds])
    phases = [task for one in rounds for task in one["phases"]]
    parts = ", ".join(
        f"{words} {statistics.median(task[phase] for task in phases) * 1000:.0f} ms" for phase, words in PHASES.items()
    )
    weight = statistics.median(one["memory_bytes"] for one in rounds) / _MIB
    row |= {"seconds": seconds, "median_phases": parts, "memory_mib": weight}
    report.line(f"{kind}, {count} at once", f"{report.milliseconds(seconds)}; {parts}; {weight:.0f} MiB a task")
