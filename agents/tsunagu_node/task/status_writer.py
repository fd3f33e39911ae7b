"""Tells the registry how a task is: the latest, as soon as it can be told.

Rule: nobody waits for the control plane here unless it asks to (`written`); what changed meanwhile is told in one write.
"""

import asyncio
from pathlib import Path

from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import ControlPlane, Refused

FILE = "status.pb"
log = get("node.status")


class StatusWriter:
    """Of the task called `name`. What it tells is kept in `directory`, too, for a node agent that comes back."""

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
        """From now on this is true."""
        if status == self._wanted:
            return
        self._wanted = status
        self._keep(status)
        self._changed.set()

    async def written(self) -> int:
        """Waits until the registry has the latest; the revision at which it had. 0 when the task is not there any more."""
        async with self._written:
            await self._written.wait_for(lambda: not self._changed.is_set() or self._gone)
        return 0 if self._gone else self._revision

    async def run(self) -> None:
        """Writes, until cancelled or until there is no such task any more."""
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
        """A full disk costs the next node agent some knowledge, and nobody a task."""
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
