"""The lifecycle hooks of a deployment in words: which one is waited for, until when, and what to do about it.

The one rule: a sentence follows from the deployment alone and names no moment but those that are in it, so that a status with
the sentence in it stays the same while nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import LifecycleHookState, ServiceDeployment

PAUSE: Final = "PAUSE"
LAMBDA: Final = "AWS_LAMBDA"


def is_waited_for(hook: LifecycleHookState) -> bool:
    """Whether the deployment does not go on before it is answered, or times out."""
    return not hook.HasField("ended_at")


def waited_for(body: ServiceDeployment) -> list[LifecycleHookState]:
    """The hooks that the deployment waits for, in the order in which they are configured."""
    return [hook for hook in body.lifecycle_hooks if is_waited_for(hook)]


def is_paused(hook: LifecycleHookState) -> bool:
    """Whether it is the user who has to continue it."""
    return is_waited_for(hook) and hook.target_type == PAUSE


def title(hook: LifecycleHookState) -> str:
    """The hook by the name of its function, and its stage."""
    name = "the PAUSE hook" if hook.target_type == PAUSE else f"hook {hook.target_arn.rpartition(':')[2]}"
    return f"{name} at {hook.lifecycle_stage}"


def waiting(body: ServiceDeployment, hook: LifecycleHookState) -> str:
    """What the deployment does while it waits for this hook."""
    until = f"until {moment(hook.expires_at)}, then {hook.timeout_action}"
    if hook.target_type == PAUSE:
        return f"is paused at {hook.lifecycle_stage} for `tsunagu deployment continue {body.service}` ({until})"
    again = f"call {hook.calls + 1}, " if hook.calls else ""
    return f"waits for {title(hook)} ({again}{until})"


def ending(hook: LifecycleHookState) -> str:
    """How a hook ended, in one sentence without its full stop."""
    said = f": {hook.reason}" if hook.reason else ""
    return f"{title(hook)} {hook.status}{said}"


def moment(time: Timestamp) -> str:
    """A point in time, to the second: 2026-11-26T12:00:00Z."""
    return Timestamp(seconds=time.seconds).ToJsonString()
