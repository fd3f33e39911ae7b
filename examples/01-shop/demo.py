"""The story of the shop: what a mesh is for, told with real load, and checked as it goes.

Each chapter prints what happens as it happens and raises `Failed` when something did not hold; the exit code is 0 only
if all of it held. `make demo` runs it; `python examples/01-shop/demo.py --runtime docker` tells the same with containers, of the
images that `deploy/docker/build.py shop` builds.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.listener.v3 import Listener

from tsunagu.testing import Load, Mesh, MeshError, Plan, Report, Response

HERE = Path(__file__).parent
BEGUN = time.monotonic()
#: Requests per second: starting a container takes much of two cores, starting a process little.
RPS = {"linux": 100, "docker": 50}
LEFT = {
    "linux": "process, namespace, mount or socket",
    "docker": "process, container, network, volume or socket",
}


class Failed(Exception):
    """Something that the story promises did not hold."""


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def hold(fact: object, promise: str) -> None:
    """Print a promise that held; raise Failed when it did not."""
    if not fact:
        raise Failed(promise)
    say(f"  ✓ {promise}")


def names(mesh: Mesh, service: str) -> list[str]:
    return [task.meta.name.rpartition("/")[2] for task in mesh.tasks(service)]


def running(mesh: Mesh, service: str) -> set[str]:
    """IDs of the tasks that are RUNNING and wanted."""
    return {
        task.meta.name.rpartition("/")[2]
        for task in mesh.tasks(service)
        if task.task.status.last_status == "RUNNING" and task.task.spec.desired_status == "RUNNING"
    }


def counter(mesh: Mesh, service: str, name: str) -> int:
    """The sum of one counter over the Envoys of a service's tasks."""
    total = 0
    for task in names(mesh, service):
        text = mesh.envoy(task, f"/stats?filter=^{name.replace('.', '[.]')}$").text
        total += sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if ": " in line)
    return total


def runtime(mesh: Mesh) -> str:
    """What runs the tasks."""
    return mesh.objects("Node")[0].node.runtime


def load(mesh: Mesh, address: str, part: Callable[[Response], str]) -> Load:
    """Steady load on the shop's front; `part` names what took part in an answer.

    With connections and time enough that a machine which is busy with starting containers delays a request, and never keeps it back.
    """
    return mesh.load(f"http://{address}/", Plan(rps=RPS[runtime(mesh)], connections=100, late=60, label=part))


def shop(answer: Response) -> Mapping[str, Any]:
    """What `web` says of the orders task that it asked."""
    said: Mapping[str, Any] = json.loads(answer.body)["orders"]
    return said


def orders_of(answer: Response) -> str:
    return str(shop(answer)["task"])


def inventory_of(answer: Response) -> str:
    return str(shop(answer)["inventory"]["task"])


def without_failure(report: Report, what: str) -> None:
    if report.failed:
        say(f"  {report}; the first: {report.first_failure}")
    hold(report.requests > 0 and not report.failed, f"{what}: {report.requests} requests, {report.failed} failed")


def round_robin(mesh: Mesh, address: str) -> None:
    say(f"Load: {RPS[runtime(mesh)]} requests/s on web, which asks orders, which asks inventory and stock")
    with load(mesh, address, orders_of) as on:
        report = on.wait_requests(150)
    expected = running(mesh, "orders")
    shares = ", ".join(f"{task} {count}" for task, count in sorted(report.labels.items()))
    hold(set(report.labels) == expected, f"round robin over both orders tasks: {shares}")
    without_failure(report, "the mesh serves")


def killed(mesh: Mesh, address: str) -> None:
    before = running(mesh, "orders")
    victim = min(before)
    with load(mesh, address, orders_of) as on:
        on.wait_requests(50)
        say(f"SIGKILL to the app of {victim}, under load")
        mesh.kill(f"app:{victim}")
        mesh.wait_until(lambda: len(running(mesh, "orders") - {victim}) == 2, 60, "a new orders task")
        (new,) = running(mesh, "orders") - before
        on.wait_requests(100)
        report = on.stop()
    hold(report.labels.get(new), f"{new} took its place and serves")
    without_failure(report, "killed and replaced")


def scaled(mesh: Mesh, address: str) -> None:
    say("Scale orders from 2 to 4")
    mesh.scale("orders", 4)
    mesh.wait_until(lambda: len(running(mesh, "orders")) == 4, 60, "four orders tasks")
    mesh.wait_converged()
    with load(mesh, address, orders_of) as on:
        report = on.wait_requests(100)
    hold(set(report.labels) == running(mesh, "orders"), "all four serve: " + ", ".join(sorted(report.labels)))
    without_failure(report, "scaled")


def ejected(mesh: Mesh, address: str) -> None:
    sick = names(mesh, "inventory")[0]
    ip = mesh.task(sick).task.status.ip
    with load(mesh, address, inventory_of) as on:
        on.wait_requests(50)
        say(f"{sick} ({ip}) begins to answer 500")
        mesh.call("http://127.0.0.1/fail?on=1", from_task=sick, method="POST", body=b"")
        callers = sorted(running(mesh, "orders"))
        mesh.wait_until(lambda: all(ejects(mesh, caller, ip) for caller in callers), 60, "its ejection")
        hold(True, f"the Envoys of all {len(callers)} orders tasks have ejected it (failed_outlier_check)")
        before = on.wait_requests(100)  # those that were under way, some of them with the sick task, have ended
        after = on.wait_requests(100)
        on.stop()
    hold(after.failed == before.failed, f"none of the next {after.requests - before.requests} requests failed")
    mesh.call("http://127.0.0.1/fail?on=0", from_task=sick, method="POST", body=b"")


def ejects(mesh: Mesh, caller: str, ip: str) -> bool:
    text = mesh.envoy(caller, "/clusters").text
    return any(ip in line and "/failed_outlier_check" in line for line in text.splitlines() if "health_flags" in line)


def replaced(mesh: Mesh, address: str) -> None:
    old = running(mesh, "orders")
    retries = counter(mesh, "web", "cluster.svc/shop/orders.upstream_rq_retry")
    with load(mesh, address, lambda answer: str(shop(answer)["version"])) as on:
        on.wait_requests(50)
        say("Apply orders version 2, under load: start -> admit -> drain, one by one")
        mesh.apply(HERE / "changes" / "orders-version-2.yaml")
        mesh.wait_until(lambda: not (set(names(mesh, "orders")) & old), 60, "the end of the old tasks")
        mesh.wait_steady(60)
        on.wait_requests(50)
        report = on.stop()
    hold({"1", "2"} <= set(report.labels), f"answers by version: {dict(sorted(report.labels.items()))}")
    without_failure(report, "four tasks replaced")
    now = counter(mesh, "web", "cluster.svc/shop/orders.upstream_rq_retry")
    hold(now == retries, f"and not one of them was retried (upstream_rq_retry {now - retries:+d})")


def control_plane_killed(mesh: Mesh, address: str) -> None:
    mesh.wait_converged()
    announced = {
        (e.type, name): version for e in mesh.timeline() if e.kind == "send" for name, version in e.versions.items()
    }
    modified = counter(mesh, "web", "listener_manager.listener_modified")
    before = mesh.apis.info().pid
    with load(mesh, address, orders_of) as on:
        on.wait_requests(50)
        say(f"SIGKILL to serve, the control plane (pid {before}), under load")
        mesh.kill("serve")
        mesh.wait_until(lambda: is_back(mesh, before), 60, "serve")
        mesh.wait_converged()
        say("  serve is back, every proxy has reconnected")
        on.wait_requests(100)
        report = on.stop()
    without_failure(report, "serve killed and back")
    sends = [event for event in mesh.timeline() if event.kind == "send"]
    resent = [name for event in sends if event.type != "EDS" for name in event.names]
    hold(not resent, f"timeline: {len(resent)} CDS/LDS/RDS resources re-sent")
    endpoints = [(name, version) for event in sends if event.type == "EDS" for name, version in event.versions.items()]
    known = [version == announced.get(("EDS", name)) for name, version in endpoints]
    hold(all(known), f"{len(endpoints)} EDS answers, all at versions already announced")
    now = counter(mesh, "web", "listener_manager.listener_modified")
    hold(now == modified == 0, f"Envoy's listener_modified = {now}")


def is_back(mesh: Mesh, before: int) -> bool:
    try:
        info = mesh.apis.info()
    except MeshError:
        return False
    return info.pid != before and info.synced and all(proxy.connected for proxy in mesh.proxies() if proxy.expected)


def refused(mesh: Mesh, address: str) -> None:
    say("A broken listener (no address) is pushed to every proxy of the namespace")
    mesh.override("shop", "LDS", "broken", bytes(Listener(name="broken")))
    proxy = mesh.wait_until(lambda: nacked(mesh), 60, "a NACK")
    (words,) = {kind.error for kind in proxy.types if kind.state == "NACKED"}
    say(f"  NACK by {proxy.name}: {' '.join(words.split())}")
    mesh.override("shop", "LDS", "broken")
    mesh.wait_until(lambda: nacked(mesh) is None, 60, "recovery")
    mesh.wait_converged()
    hold(
        mesh.call(f"http://{address}/").status == 200, "traffic never noticed; withdrawn, all proxies are synced again"
    )


def nacked(mesh: Mesh) -> object:
    found = [proxy for proxy in mesh.proxies() if any(kind.state == "NACKED" for kind in proxy.types)]
    return found[0] if found else None


CHAPTERS = (round_robin, killed, scaled, ejected, replaced, control_plane_killed, refused)


def tell(chosen: str) -> None:
    say(f"tsunagu up examples/01-shop/shop.yaml{'' if chosen == 'linux' else f' --runtime {chosen}'}")
    with Mesh(HERE / "shop.yaml", runtime=chosen) as mesh:
        mesh.wait_steady()
        tasks = {task: names(mesh, task) for task in ("web", "orders", "inventory", "stock")}
        hold(
            all(tasks.values()),
            ", ".join(f"{name} x{len(found)}" for name, found in tasks.items()) + ", each with its Envoy",
        )
        address = mesh.publish("web", 80)
        for chapter in CHAPTERS:
            chapter(mesh, address)
        say("Drain and stop everything")
    say(f"Nothing is left: no {LEFT[chosen]}. All of it held.")


def main() -> int:
    parser = argparse.ArgumentParser(description="The story of the shop.")
    parser.add_argument("--runtime", choices=LEFT, default="linux", help="what runs the tasks (default: linux)")
    try:
        tell(parser.parse_args().runtime)
    except (Failed, MeshError, TimeoutError) as error:
        print(f"\nThis did not hold: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
