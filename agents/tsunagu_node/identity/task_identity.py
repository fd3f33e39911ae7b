"""The identity of one task: the file that its Envoy reads, from the placeholder to the last renewal.

Rule: the file is there before Envoy starts (one that is missing then is refused for good), and it is replaced whole, by a pair
that was checked. While the control plane is away the task goes on with what it has; what it has outlives the node agent.
"""

import asyncio
import importlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tsunagu.kit import tokens
from tsunagu.kit.log import get
from tsunagu.v1 import identities_pb2, objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.identity.schedule import RETRY, due_at, is_good
from tsunagu_node.identity.trust import Trust
from tsunagu_node.runtime.contract import IDENTITY, RunningTask
from tsunagu_node.task.spec import TaskSpec

PLACEHOLDER: Final = '{"version_info":"0","resources":[]}'
"""With it Envoy's clusters are warm at once; their calls fail until a certificate is there."""
log = get("node.identity")
Issue = Callable[[identities_pb2.IssueRequest], Awaitable[identities_pb2.IssueResponse]]


class TaskIdentity:
    """The identity of the task that `spec` describes. `issue` asks the control plane once; `changed` is called when `ready` or
    the status may have changed.
    """

    def __init__(self, spec: TaskSpec, trust: Trust, issue: Issue, key: bytes, changed: Callable[[], None]) -> None:
        self._spec = spec
        self._trust = trust
        self._issue = issue
        self._token = tokens.mint(key, f"node:{spec.task.spec.node}")
        self._changed = changed
        self._jitter = random.random()  # noqa: S311 - spreads requests, and is no secret
        self._held: identities_pb2.Identity | None = None
        self._keys: Any = None  # tsunagu_node.identity.keys, which loads what makes keys
        self.trouble = ""  # why there is no good certificate although there is to be one; empty while there is

    @property
    def ready(self) -> bool:
        """Whether Envoy's file has a certificate that others accept now."""
        return is_good(self._held, time.time())

    def place(self, task: RunningTask) -> None:
        """Write the placeholder unless there is a file already. Raises OSError."""
        try:
            task.read_config(IDENTITY)
        except FileNotFoundError:
            task.write_config(IDENTITY, PLACEHOLDER)

    async def run(self, task: RunningTask) -> None:
        """Keep the task's certificate good until cancelled."""
        await self._adopt(task)
        await self._trust.newer(0)  # while nothing is known, a certificate that is there is not taken for one too many
        failures = 0
        while True:
            version = self._trust.version
            if not self._wanted:
                self._hold(None)
                await self._trust.newer(version)
                continue
            now = time.time()
            due = due_at(self._held, self._trust.now, now, self._jitter) if not failures else now
            if due <= now:
                failures = 0 if await self._renew(task) else failures + 1
                due = now + RETRY.delay(failures, self._jitter)
            await self._wait(version, due - now)

    def report(self, status: objects_pb2.TaskStatus) -> None:
        """Put the identity into a status."""
        status.ClearField("identity")
        if self._held is not None:
            status.identity.CopyFrom(self._held)
        if self.trouble:
            status.identity.problem = self.trouble

    @property
    def _wanted(self) -> bool:
        return self._spec.namespace in self._trust.now.namespaces

    async def _adopt(self, task: RunningTask) -> None:
        """Go on with the certificate that an earlier node agent left, if its file is as it was."""
        status = self._spec.task.status
        if not status.identity.id:
            return
        await self._load()
        try:
            text = task.read_config(IDENTITY)
        except OSError as error:
            log.warning("identity is not there any more", task=self._spec.name, reason=str(error))
            return
        if self._keys.holds(text, status.identity):
            held = identities_pb2.Identity()
            held.CopyFrom(status.identity)
            held.ClearField("problem")
            self._hold(held)

    async def _renew(self, task: RunningTask) -> bool:
        """Ask for a certificate of a new key and put both in place; return whether it worked."""
        await self._load()
        made = self._keys.make()
        request = identities_pb2.IssueRequest(
            node=self._spec.task.spec.node,
            token=self._token,
            task=self._spec.name,
            certificate_request=made.request(),
        )
        try:
            answer = await self._issue(request)
            task.write_config(IDENTITY, made.file(answer, time.time()))
        except (Refused, OSError, self._keys.Unusable) as error:
            self._complain(str(error))
            return False
        answer.identity.issued_at.GetCurrentTime()
        log.info("identity", task=self._spec.name, id=answer.identity.id, serial=answer.identity.serial)
        self._hold(answer.identity)
        return True

    async def _load(self) -> None:
        if self._keys is None:
            self._keys = await asyncio.to_thread(importlib.import_module, "tsunagu_node.identity.keys")

    def _hold(self, identity: identities_pb2.Identity | None) -> None:
        before, self._held, trouble, self.trouble = self._held, identity, self.trouble, ""
        if before != identity or trouble:
            self._changed()

    def _complain(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning("no certificate", task=self._spec.name, reason=reason)
        self.trouble = reason
        self._changed()

    async def _wait(self, version: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._trust.newer(version)
        except TimeoutError:
            return
