"""Starts the process of `outside.relay` beside a node agent, and starts it again when it dies.

Rule: there is one per node. It outlives the node agent and whoever started it; a new one finds it by its record.
"""

import contextlib
import json
import os
import subprocess
import time
from typing import Final

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.linux import processes

RECORD: Final = "outside.json"
_SOON: Final = 1.0
_PAUSE: Final = 0.2


class OutsideProcess:
    """The process of the node with these folders. `ended`: a descriptor that is readable when it has ended."""

    def __init__(self, folders: Folders, life: int) -> None:
        self._folders = folders
        self._life = life
        self._begun = 0.0
        self._process: subprocess.Popen[bytes] | None = None  # None: an earlier one started it
        self.ended = self._found() or self._started()

    def again(self) -> None:
        """Start another one, since it has ended; one that dies at once is waited for a moment."""
        os.close(self.ended)
        if self._process is not None:
            self._process.wait()
        if time.monotonic() - self._begun < _SOON:
            time.sleep(_PAUSE)
        self.ended = self._started()

    def _found(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads((self._folders.node / RECORD).read_text())
            if processes.same(record["pid"], record["begun"]):
                return os.pidfd_open(record["pid"])
        return None

    def _started(self) -> int:
        """Start it, and wait until it listens. Raises RuntimeUnavailable."""
        self._begun = time.monotonic()
        command = processes.python("tsunagu_node.outside.relay.process", str(self._folders.node), str(self._life))
        with (self._folders.logs / "outside.log").open("ab") as log:
            process = self._process = subprocess.Popen(  # its own session; it outlives this process
                command,
                pass_fds=(self._life,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
            )
        assert process.stdout is not None
        with process.stdout:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeUnavailable(f"the relay to places outside died; see {self._folders.logs}/outside.log")
        self._record(process.pid)
        return os.pidfd_open(process.pid)

    def _record(self, pid: int) -> None:
        """Whoever reads it meanwhile reads the one before: half a record would have another launcher start a second process."""
        record = self._folders.node / RECORD
        aside = record.with_suffix(".new")
        aside.write_text(json.dumps({"pid": pid, "begun": processes.begun(pid)}))
        aside.replace(record)
