"""What has to be shown many times of deployments: each strategy, of an HTTP, a gRPC and a TCP service, while they are called.

The load is that of `replaced`: 200 requests a second of each, without retries. Rule: at every step of a shift the weights are read from
the Envoy that the calls go through, not from the registry.
"""

import json
import re
import time
from collections import defaultdict
from typing import Any

from benchmarks import report
from benchmarks.replaced import PATIENCE, SERVICES, Calls, called, manifests
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh
from tsunagu.v1 import deployments_pb2, objects_pb2

STRATEGIES = ("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY")
ROUNDS = 10
BAKE = 4.0  # seconds
#: The target's shares at the steps of a strategy, in percent; LINEAR as the services say it below. Before them it has none.
SHARES = {"BLUE_GREEN": {100}, "LINEAR": {40, 80, 100}, "CANARY": {5, 100}}


def deployments(rounds: int = ROUNDS, strategies: tuple[str, ...] = STRATEGIES) -> dict[str, Any]:
    """Deployments, ten of each strategy, of an HTTP, a gRPC and a TCP service under 200 requests/s each without retries."""
    with called() as calls:
        calls.mesh.apply(text=with_steps(manifests(1)))
        wrong: dict[str, list[Any]] = defaultdict(list)
        for number in range(rounds):
            for strategy in strategies:
                seen = _deploy(calls, strategy, number * len(strategies) + strategies.index(strategy) + 2)
                for service, shares in seen.items():
                    if strategy in SHARES and shares | {0} != SHARES[strategy] | {0}:
                        wrong[strategy].append((service, sorted(shares)))
                report.line(f"{number + 1} {strategy}", calls.told())
        return {**calls.figures(deployments=rounds * len(strategies)), "other shares in Envoy": dict(wrong)}


def with_steps(text: str) -> str:
    """The services with steps of 40 percent; what is not LINEAR does not read them."""
    return re.sub(
        r"^(serviceName: .*)$",
        r"\1\ndeploymentConfiguration: {linearConfiguration: {stepPercent: 40.0}}",
        text,
        flags=re.MULTILINE,
    )


def _deploy(calls: Calls, strategy: str, version: int) -> dict[str, set[int]]:
    """Deploy all services at once; return the target's shares that Envoy had meanwhile, in percent."""
    definitions = [part for part in manifests(version).split("\n---\n") if "serviceName:" not in part]
    calls.mesh.apply(text="\n---\n".join(definitions))
    calls.mesh.apply(objects=[asked(calls.mesh, service, strategy) for service in SERVICES.values()])
    calls.mesh.wait_until(lambda: all(_begun(calls.mesh, one) for one in SERVICES.values()), PATIENCE, "a deployment")
    seen: dict[str, set[int]] = defaultdict(set)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        going_on = False
        for service in SERVICES.values():
            body = present(calls.mesh, service)
            if body.status not in {"SUCCESSFUL", "IN_PROGRESS"}:
                raise RuntimeError(f"{service}: {body.status}: {body.status_reason}")
            going_on |= body.status == "IN_PROGRESS"
            if (found := share(calls.mesh, service, body.target_revision)) is not None:
                seen[service].add(found)
        if not going_on:
            calls.mesh.wait_steady(PATIENCE)
            return {service: seen[service] for service in SERVICES.values()}
    raise RuntimeError(f"{strategy} was not over after {PATIENCE:g} s")


def asked(mesh: Mesh, service: str, strategy: str) -> objects_pb2.Object:
    """The service as `tsunagu deploy` writes it: its family's latest task definition, and what counts for one deployment."""
    found = mesh.get("Service", f"default/{service}")
    assert found is not None
    family = found.service.spec.task_definition.partition(":")[0]
    latest = max(one.task_definition.revision for one in mesh.objects("TaskDefinition", f"{family}:"))
    found.service.spec.task_definition = f"{family}:{latest}"
    request = deployments_pb2.DeploymentRequest(strategy=strategy, bake_seconds=BAKE)
    found.service.next_deployment.CopyFrom(request)
    return found


def _begun(mesh: Mesh, service: str) -> bool:
    found = mesh.get("Service", f"default/{service}")
    return found is not None and not found.service.HasField("next_deployment")


def present(mesh: Mesh, service: str) -> Any:
    """The present deployment of a service."""
    found = mesh.get("Service", f"default/{service}")
    assert found is not None
    deployment = mesh.get("ServiceDeployment", f"default/{service}/{found.service.status.deployment}")
    assert deployment is not None
    return deployment.service_deployment


def share(mesh: Mesh, service: str, revision: str) -> int | None:
    """The percentage of calls that the gateway's Envoy gives a revision; None while it has no endpoints of it."""
    gateway = next(task for task in mesh.tasks() if service in task.task.spec.gateway)
    dump = json.loads(mesh.envoy(task_id(gateway), "/config_dump?include_eds&resource=dynamic_endpoint_configs").text)
    weights: dict[str, int] = defaultdict(int)
    for one in dump["configs"]:
        if one["endpoint_config"]["cluster_name"] == f"svc/soak/{service}":
            for group in one["endpoint_config"].get("endpoints", []):
                if group.get("priority", 0) == 0:
                    weights[group["locality"]["sub_zone"]] += group.get("load_balancing_weight", 0)
                else:
                    weights[group["locality"]["sub_zone"]] += 0
    whole = sum(weights.values())
    return round(100 * weights[revision] / whole) if revision in weights and whole else None


SCENARIOS = {"deployments": deployments}
