"""The identity of one task: the file that its Envoy reads, from the placeholder to the last renewal.

Rule: the file is there before Envoy starts (one that is missing then is refused for good); what is in it `renewal` decides.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from tsunagu.kit import tokens
from tsunagu.v1 import identities_pb2, objects_pb2
from tsunagu_node.identity.renewal import Holder, Issue, Renewal
from tsunagu_node.identity.trust import Trust
from tsunagu_node.runtime.contract import IDENTITY, RunningTask
from tsunagu_node.task.spec import TaskSpec

PLACEHOLDER: Final = '{"version_info":"0","resources":[]}'
"""With it Envoy's clusters are warm at once; their calls fail until a certificate is there."""


class TaskIdentity:
    """The identity of the task that `spec` describes. `issue` asks the control plane once; `changed` is called when `ready` or
    the status may have changed.
    """

    def __init__(self, spec: TaskSpec, trust: Trust, issue: Issue, key: bytes, changed: Callable[[], None]) -> None:
        node = spec.task.spec.node
        request = identities_pb2.IssueRequest(node=node, token=tokens.mint(key, f"node:{node}"), task=spec.name)
        self._before = spec.task.status.identity
        self._renewal = Renewal(Holder({"task": spec.name}, spec.namespace, request), trust, issue, changed)

    @property
    def ready(self) -> bool:
        """Whether Envoy's file has a certificate that others accept now."""
        return self._renewal.ready

    @property
    def trouble(self) -> str:
        """Why there is no good certificate although there is to be one; empty while there is."""
        return self._renewal.trouble

    def place(self, task: RunningTask) -> None:
        """Write the placeholder unless there is a file already. Raises OSError."""
        try:
            task.read_config(IDENTITY)
        except FileNotFoundError:
            task.write_config(IDENTITY, PLACEHOLDER)

    async def run(self, task: RunningTask) -> None:
        """Keep the task's certificate good until cancelled."""
        await self._renewal.run(_EnvoysFile(task, self._before))

    def report(self, status: objects_pb2.TaskStatus) -> None:
        """Put the identity into a status."""
        status.ClearField("identity")
        if self._renewal.held is not None:
            status.identity.CopyFrom(self._renewal.held)
        if self.trouble:
            status.identity.problem = self.trouble


class _EnvoysFile:
    """The file that a task's Envoy watches. `before`: the certificate that the task's status said it has."""

    def __init__(self, task: RunningTask, before: identities_pb2.Identity) -> None:
        self._task = task
        self._before = before

    def left(self) -> identities_pb2.Identity | None:
        if not self._before.id:
            return None
        left = identities_pb2.Identity()
        left.CopyFrom(self._before)
        left.ClearField("problem")
        return left

    def holds(self, keys: Any, identity: identities_pb2.Identity) -> bool:
        found: bool = keys.holds(self._task.read_config(IDENTITY), identity)
        return found

    def write(self, made: Any, answer: identities_pb2.IssueResponse) -> None:
        self._task.write_config(IDENTITY, made.file(answer, time.time()))
