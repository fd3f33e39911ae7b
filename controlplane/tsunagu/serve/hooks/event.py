"""What a function is given when it is called as a lifecycle hook: ECS's event.

The one rule: the event follows from the registry alone, so a call that is made again gets the same one. Region and account of
its ARNs are those of the function: there are none here.

Source: ECS Developer Guide, lifecycle hooks: executionDetails with the service's ARN, the target revision's ARN, and the weights
of test and production traffic in percent by revision ARN.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.v1.deployments_pb2 import LifecycleHookState
    from tsunagu.v1.objects_pb2 import Object, ServiceTraffic


def event(deployment: Object, hook: LifecycleHookState, traffic: ServiceTraffic) -> dict[str, Any]:
    """Return the event. `traffic`: that of the service's status."""
    body, name = deployment.service_deployment, deployment.meta.name
    made: dict[str, Any] = {
        "executionId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{hook.hook_id}/{body.created_at.ToNanoseconds()}")),
        "lifecycleStage": hook.lifecycle_stage,
        "resourceArn": _arn(hook, f"service-deployment/{name}"),
        "executionDetails": {
            "serviceArn": _arn(hook, f"service/{body.cluster}/{body.service}"),
            "targetServiceRevisionArn": _revision(hook, body.target_revision),
            "testTrafficWeights": {_revision(hook, one): share for one, share in _test(body, traffic).items()},
            "productionTrafficWeights": {
                _revision(hook, one.revision): _percent(one.weight) for one in traffic.weights
            },
        },
    }
    if hook.HasField("hook_details"):
        made["hookDetails"] = _as_written(json_format.MessageToDict(hook.hook_details))
    return made


def _as_written(value: Any) -> Any:
    """The value with whole numbers as JSON has them: 20, where protobuf only knows 20.0."""
    if isinstance(value, dict):
        return {name: _as_written(one) for name, one in value.items()}
    if isinstance(value, list):
        return list(map(_as_written, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _test(body: Any, traffic: ServiceTraffic) -> Mapping[str, int]:
    if not traffic.test_revision:
        return {}
    return {traffic.test_revision: 100, **({body.source_revision: 0} if body.source_revision else {})}


def _percent(weight: int) -> float | int:
    """Tenths of a percent as percent."""
    return weight // 10 if weight % 10 == 0 else weight / 10


def _revision(hook: LifecycleHookState, name: str) -> str:
    return _arn(hook, f"service-revision/{name}")


def _arn(hook: LifecycleHookState, resource: str) -> str:
    """An ARN of ECS in the partition, region and account of the function's: arn:PARTITION:lambda:REGION:ACCOUNT:..."""
    parts = [*hook.target_arn.split(":"), *([""] * 5)]
    return ":".join(("arn", parts[1] or "aws", "ecs", parts[3], parts[4], resource))
