"""Writes a task's status to the registry as soon as the control plane answers.

Rule: only `written` waits for the control plane. Of several changes in the meantime only the last is written.
"""

import asyncio
from pathlib import Path

from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import ControlPlane, Refused

FILE = "status.pb"
log = get("node.status")


class StatusWriter:
    """Writes the status of the task `name`; also to a file in `directory`, from which the next node agent adopts the task.

    Invariant: `_changed` is set as long as the registry does not have `_wanted`.
    """

    def __init__(self, control: ControlPlane, name: str, directory: Path) -> None:
        self._control = control
        self._name = name
        self._file = directory / FILE
        self._wanted = objects_pb2.TaskStatus()
        self._revision = 0
        self._gone = False
        self._kept = True
        self._changed = asyncio.Event()
        self._written = asyncio.Condition()

    def set(self, status: objects_pb2.TaskStatus) -> None:
        """Make this the status to write."""
        if status == self._wanted:
            return
        self._wanted = status
        self._keep(status)
        self._changed.set()

    async def written(self) -> int:
        """Wait until the registry has the last status; return its revision, or 0 when the task is deleted."""
        async with self._written:
            await self._written.wait_for(lambda: not self._changed.is_set() or self._gone)
        return 0 if self._gone else self._revision

    async def run(self) -> None:
        """Write until cancelled, or until the task is deleted."""
        while not self._gone:
            await self._changed.wait()
            status = self._wanted
            revision = await self._write(status)
            async with self._written:
                self._gone, self._revision = revision is None, revision or 0
                if self._wanted is status:
                    self._changed.clear()
                self._written.notify_all()

    def _keep(self, status: objects_pb2.TaskStatus) -> None:
        """Write the file. On a full disk the next node agent adopts an older status; the task goes on."""
        if not self._file.parent.is_dir():
            return
        aside = self._file.with_suffix(".new")
        try:
            aside.write_bytes(status.SerializeToString())
            aside.replace(self._file)
        except OSError as error:
            if self._kept:
                log.warning("status is not kept", task=self._name, reason=str(error))
            self._kept = False
        else:
            self._kept = True

    async def _write(self, status: objects_pb2.TaskStatus) -> int | None:
        try:
            return await self._control.write_status(self._name, status)
        except Refused as error:
            log.warning("status refused", task=self._name, reason=str(error))
            return 0
