"""Of what an alarm is: its dimensions, resolved by the services and the deployments that there are.

The one rule: TARGET and SOURCE are of the present deployment of the service, so an alarm says with its state for which deployment it
holds; for any other one there is no data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.controllers.deployments.strategies.strategy import WHOLE
from tsunagu.model import ids, references
from tsunagu.model.deployments import alarms
from tsunagu.signals.datapoints import Scope

if TYPE_CHECKING:
    from tsunagu.registry.informer import Informer
    from tsunagu.v1 import alarms_pb2
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class Resolved:
    """`scope` None: there is nothing that the dimensions name, as `problem` says. `deployment`: the number of the deployment for
    which it holds; 0: for any.
    """

    scope: Scope | None
    deployment: int = 0
    problem: str = ""


def resolved(informer: Informer, spec: alarms_pb2.PutMetricAlarmInput) -> Resolved:
    """Resolve the dimensions of an alarm."""
    given = alarms.dimensions(spec)
    name = given.get(alarms.DISCOVERY_NAME, "")
    called = given.get(alarms.TARGET_DISCOVERY_NAME, "")
    service = _service_named(informer, given)
    if alarms.SERVICE_REVISION in given:
        return _of_revision(informer, service, given[alarms.SERVICE_REVISION], called or name)
    if alarms.TARGET_GROUP in given and not service:
        return Resolved(
            None, problem=f"no service has the target group {given[alarms.TARGET_GROUP]} in its loadBalancers"
        )
    return Resolved(Scope(service=service, name=called or name, calls=bool(called)))


def _service_named(informer: Informer, given: dict[str, str]) -> str:
    if alarms.SERVICE_NAME in given:
        cluster = given.get(alarms.CLUSTER_NAME, references.DEFAULT_CLUSTER)
        return ids.service_name(cluster, given[alarms.SERVICE_NAME])
    group = given.get(alarms.TARGET_GROUP, "")
    services = informer.objects("Service").items() if group else ()
    return next((name for name, obj in sorted(services) if _has_group(obj, group)), "")


def _has_group(service: Object, group: str) -> bool:
    """Whether the ARN of one of its target groups ends with that dimension: arn:...:targetgroup/NAME/ID."""
    arns = [
        arn
        for one in service.service.spec.load_balancers
        for arn in (one.target_group_arn, one.advanced_configuration.alternate_target_group_arn)
    ]
    return any(arn == group or arn.endswith(f":{group}") for arn in arns if arn)


def _of_revision(informer: Informer, name: str, asked: str, discovery_name: str) -> Resolved:
    service = informer.get("Service", name)
    if service is None:
        return Resolved(None, problem=f"there is no service {name or 'with that target group'}")
    scope = Scope(
        service=name, name=discovery_name, revision=asked if asked.startswith(f"{name}/") else f"{name}/{asked}"
    )
    number = 0
    if asked in (alarms.TARGET, alarms.SOURCE):
        number = service.service.status.deployment
        present = informer.get("ServiceDeployment", ids.deployment_name(name, number))
        if present is None:
            return Resolved(None, number, f"service {name} has no deployment")
        body = present.service_deployment
        revision = body.target_revision if asked == alarms.TARGET else body.source_revision
        if not revision:
            return Resolved(None, number, f"deployment {number} has no source: it is the first that is to be completed")
        scope = replace(scope, revision=revision)
    weights = {one.revision: one.weight for one in service.service.status.traffic.weights}
    share = weights[scope.revision] / WHOLE if scope.revision in weights else None
    return Resolved(replace(scope, share=share), number)
