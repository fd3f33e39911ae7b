"""What it costs to know the traffic of 50 tasks: CPU and memory of the node agent, serve and the Envoys, with readings and without.

Two meshes in turns, under the same load, that differ in one thing: in one of them nobody reads the Envoys. Beside it, over an hour of
made-up readings of 50 tasks: what is kept, and what an answer costs.
"""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from benchmarks import report
from benchmarks.fleet import cpu, processes_of
from tsunagu.metrics.process import rendered
from tsunagu.signals.store import SignalStore
from tsunagu.signals.windows import Query, of_service, windows
from tsunagu.testing import Mesh, Plan
from tsunagu.v1 import inspector_pb2, signals_pb2

SERVICES, TASKS = 10, 50
CALLED = 5  # services
RATE = 20  # requests a second to each of these
SETTLE_SECONDS, WATCHED_SECONDS = 10, 60
ROUNDS = 2
MODES: Mapping[str, Mapping[str, str]] = {"unread": {"TSUNAGU_SIGNALS_SECONDS": "86400"}, "read": {}}
HOUR, EVERY = 3600, 5
_APP = """
import socket, threading
def serve(connection):
    with connection:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
listening = socket.create_server(("", 8080))
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""
_MIB = 1024 * 1024


def run() -> dict[str, Any]:
    """50 tasks under load, their Envoys read every 5 s or never: CPU of each; then an hour of samples: bytes, and answers."""
    rounds: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        for mode in MODES:
            rounds[mode].append(_round(mode))
    for mode, seen in rounds.items():
        mean = {name: sum(one[name] for one in seen) / len(seen) for name in seen[0]}
        report.line(f"{TASKS} tasks, {mode}", ", ".join(f"{name} {value:.2f}" for name, value in mean.items()))
    return {"tasks": TASKS, "percent_of_a_core": rounds, "hour": _hour()}


def _round(mode: str) -> dict[str, float]:
    """CPU of each group of processes, in percent of a core, and resident MiB of serve."""
    with Mesh(environment=MODES[mode]) as mesh, ExitStack() as loads:
        mesh.apply(text="\n---\n".join(map(json.dumps, _manifests())))
        mesh.wait_steady(300)
        for number in range(CALLED):
            mesh.publish(f"service-{number}", 80)
            plan = Plan(rps=RATE, connections=2, seconds=SETTLE_SECONDS + WATCHED_SECONDS + 60)
            loads.enter_context(mesh.load(f"http://service-{number}/", plan))
        time.sleep(SETTLE_SECONDS)
        groups = processes_of(mesh)
        before, begun = cpu(groups), time.monotonic()
        time.sleep(WATCHED_SECONDS)
        used, seconds = cpu(groups), time.monotonic() - begun
        percent = {name: (used[name] - before[name]) / seconds * 100 for name in ("node", "serve", "envoys")}
        return {**percent, "serve MiB": groups["serve"][0].memory_info().rss / _MIB}


def _manifests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"kind": "Namespace", "name": "bench"}]
    for number in range(SERVICES):
        name = f"service-{number}"
        container = {
            "name": "app",
            "image": name,
            "command": [sys.executable, "-I", "-S", "-c", _APP],
            "portMappings": [{"name": "http", "containerPort": 8080, "appProtocol": "http"}],
        }
        connect = {
            "enabled": True,
            "namespace": "bench",
            "services": [{"portName": "http", "discoveryName": name, "clientAliases": [{"port": 80, "dnsName": name}]}],
        }
        definition = {"kind": "TaskDefinition", "family": name, "networkMode": "awsvpc", "memory": "64"}
        service = {"kind": "Service", "serviceName": name, "taskDefinition": name, "desiredCount": TASKS // SERVICES}
        found += [
            {**definition, "containerDefinitions": [container]},
            {**service, "serviceConnectConfiguration": connect},
        ]
    return found


# -- an hour, made up ------------------------------------------------------------------------------------------------------


def _hour() -> dict[str, float]:
    store, began = SignalStore(), 1_800_000_000.0
    spent = time.process_time()
    for at in range(EVERY, HOUR + 1, EVERY):
        for task in range(TASKS):
            store.accept(_readings(task, began, at), began + at)
    accepted = (time.process_time() - spent) / (TASKS * HOUR / EVERY)
    now, views = began + HOUR, store.views()
    answers = {
        "accept_us": accepted * 1e6,
        "bytes_of_a_task": store.bytes / TASKS,
        "windows_of_15_s_ms": _milliseconds(lambda: windows(store.views(now - 15), Query(now - 15, now))),
        "windows_of_an_hour_ms": _milliseconds(lambda: windows(views, Query(began, now, 60.0))),
        "of_service_60_s_ms": _milliseconds(
            lambda: of_service(store.views(now - 60), "default/service-0", "", now - 60, now)
        ),
        "totals_ms": _milliseconds(lambda: [one.SerializeToString() for one in store.totals(now, 300)]),
        "rendered_ms": _milliseconds(lambda: rendered(list(store.totals(now, 300)), list[inspector_pb2.Metric]())),
    }
    report.line("an hour of 50 tasks", ", ".join(f"{name} {value:.1f}" for name, value in answers.items()))
    return answers


def _readings(task: int, began: float, at: int) -> signals_pb2.TaskReadings:
    """One reading of a task that serves a name and calls three, at 50 requests a second."""
    service = f"service-{task % SERVICES}"
    source = signals_pb2.Source(task=f"default/{service}-{task}", cluster="default", service=service, namespace="bench")
    flows = [_flow("ingress", service, at), *(_flow("egress", f"service-{number}", at) for number in range(3))]
    reading = signals_pb2.Reading(incarnation="1", time=began + at, from_start=at == EVERY, flows=flows, started=began)
    return signals_pb2.TaskReadings(source=source, readings=[reading], whole=at == EVERY)


def _flow(direction: str, name: str, at: int) -> signals_pb2.Flow:
    count = at * 50
    latency = signals_pb2.Latency(lower_us=[1000 * one for one in range(1, 25)], counts=[1 + count // 24] * 24)
    flow = signals_pb2.Flow(direction=direction, namespace="bench", discovery_name=name, latency=latency)
    flow.connections, flow.bytes_received, flow.bytes_sent = 1 + at // 60, count * 300, count * 900
    flow.requests = flow.attempts = count
    flow.responses_2xx, flow.responses_5xx, flow.active_connections = count - at // 10, at // 10, 4
    flow.flags.add(flags="URX", code=503, count=at // 10)
    return flow


def _milliseconds(work: Any) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000
