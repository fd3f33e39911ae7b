"""The runtime of plain Linux: each task in namespaces of its own, inside the sandbox, without root and without Docker.

Rule: whatever a task needs to run is in the kernel and in its own init, so that this object can be made again at any time
(`start` adopts). Processes end before their network does: a caller of a dying task gets a reset, never silence.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.runtime import resolving
from tsunagu_node.runtime.addresses import SANDBOX, AddressPool
from tsunagu_node.runtime.contract import Image, Network, ProcessState, RuntimeFailed
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.hosts_file import HostsFile
from tsunagu_node.runtime.linux import network, processes
from tsunagu_node.runtime.linux.host_client import HostClient
from tsunagu_node.runtime.linux.init.mesh_directory import LINK
from tsunagu_node.runtime.linux.init.pid1 import STATE
from tsunagu_node.runtime.linux.init_client import InitClient, InitGone, states
from tsunagu_node.runtime.linux.linux_way_out import LinuxWayOut
from tsunagu_node.runtime.linux.running_task import RECORD, LinuxTask, Record, clean, own_lines

log = get("node.runtime")
AS_ROOT: Final = "WARNING: it was started by root, so apps may read and change every file that root owns"
_REASON: Final = "user namespaces with their own network are to be had here"
_LAST: Final = "last-address"
INIT_LOG: Final = "init.err"
"""What a task's init itself writes; its name is no NAME.log, since a container may be called init."""


class LinuxRuntime:
    """Tasks of the node with these folders, with addresses of `cidr`, which exists only inside the sandbox."""

    kind = "linux"
    has_images = False

    def __init__(self, folders: Folders, helper: HostClient, cidr: str = SANDBOX) -> None:
        self._helper = helper
        self._folders = folders
        self._last = folders.node / _LAST
        self._network = IPv4Network(cidr)
        self._pool = AddressPool(self._network)
        self._running: set[LinuxTask] = set()
        self._way_out = LinuxWayOut(folders.node, self._network)

    @property
    def reason(self) -> str:
        return f"{_REASON}; {AS_ROOT}" if started_by_root() else _REASON

    @property
    def problem(self) -> str:
        return self._way_out.problem

    @property
    def task_cidr(self) -> str:
        return str(self._network)

    @property
    def xds_socket(self) -> str:
        return str(self._folders.mesh / LINK)

    async def agent_pid(self) -> int:
        return await self._helper.own_pid()

    def heartbeat(self) -> None:
        self._helper.beat()

    @property
    def way_out(self) -> LinuxWayOut:
        return self._way_out

    async def machine_connection(self, protocol: str, host: str, port: int) -> socket.socket:
        return await self._helper.connect(host, port, protocol)

    async def machine_socket(self, protocol: str, host: str, port: int) -> socket.socket:
        return await self._helper.listen(host, port, protocol)

    async def start(self) -> Sequence[LinuxTask]:
        await asyncio.to_thread(network.prepare, self._network)
        adopted = [
            task for path in sorted(self._folders.tasks.glob(f"*/{RECORD}")) if (task := await self._adopt(path.parent))
        ]
        last = self._last.read_text() if self._last.exists() else None
        self._pool = AddressPool(self._network, [task.ip for task in adopted], last)
        return adopted

    def validate(self, container: str, image: Image) -> None:
        if not (*image.entrypoint, *image.command):
            what = f"no Image object says what {image.reference!r} runs"
            raise RuntimeFailed(f"container {container} has no command, and {what}")

    def preparing(self, task_id: str) -> str:
        return ""

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        try:
            return states(json.loads((self._folders.task(task_id) / STATE).read_text()))
        except (OSError, ValueError):
            return {}

    def log_directory(self, task_id: str) -> Path:
        return self._folders.task(task_id) / "log"

    async def create(self, task_id: str, network: Network) -> LinuxTask:
        directory = self._folders.task(task_id)
        ip = self._pool.take()
        with ExitStack() as undo:
            undo.callback(self._pool.give_back, ip)
            try:
                await self._way_out.begin(task_id, ip, network.egress)
                undo.callback(self._way_out.end, task_id)
                task = await self._create(directory, Record(ip, tuple(network.published)), network)
            except OSError as error:
                raise RuntimeFailed(f"{error.strerror}: {error.filename or task_id}") from error
            undo.pop_all()
        return self._keep(task)

    async def forget(self, kept: Collection[str]) -> None:
        present = {*kept, *(task.id for task in self._running)}
        await asyncio.to_thread(remove_others, self._folders.tasks, present)

    async def close(self) -> None:
        self._way_out.close()
        for task in self._running:
            task.release()
        self._running.clear()

    def _keep(self, task: LinuxTask) -> LinuxTask:
        task.gone = self._forget
        self._running.add(task)
        return task

    def _forget(self, task: LinuxTask) -> None:
        """Let the address of a removed task rest, until all others have been used."""
        self._running.discard(task)
        self._way_out.end(task.id)
        self._pool.give_back(task.ip)

    async def _create(self, directory: Path, record: Record, wanted: Network) -> LinuxTask:
        self._last.write_text(self._pool.last)
        (directory / "log").mkdir(parents=True, exist_ok=True, mode=0o700)
        resolving.write(directory, wanted.resolver)
        record.write(directory)
        HostsFile(directory / "hosts", own_lines(directory.name, record.ip)).close()
        init = await asyncio.to_thread(launch, directory, self._folders.mesh)
        # The link goes with the network namespace, and that with its last process and descriptor.
        with ExitStack() as undo:
            undo.callback(clean, directory)
            undo.callback(end, init)
            task = LinuxTask(directory, self._folders.mesh, record, await InitClient.connect(directory), self._helper)
            undo.callback(task.release)
            await task.join_network(self._network, wanted)
            undo.pop_all()
        return task

    async def _adopt(self, directory: Path) -> LinuxTask | None:
        try:
            record = Record.read(directory)
            init = await InitClient.connect(directory)
        except (InitGone, ValueError, OSError):
            init = None
        try:
            if init is not None:
                task = LinuxTask(directory, self._folders.mesh, record, init, self._helper)
                self._way_out.adopt(task.id, task.ip)
                return self._keep(task)
            clean(directory)
        except Exception:
            log.exception("task cannot be adopted", task=directory.name)
            if init is not None:
                end(init.pid)
        return None


def launch(directory: Path, mesh: Path) -> int:
    """Start the init of the task in `directory`, of the mesh in `mesh`, which outlives this process; return its pid. Raises RuntimeFailed."""
    read, write = os.pipe2(os.O_CLOEXEC)
    command = processes.python(
        "tsunagu_node.runtime.linux.init.pid1", str(directory), str(mesh), directory.name, str(write)
    )
    with open(read, encoding="utf-8") as answer:  # noqa: PTH123 - a file descriptor
        try:
            with (directory / "log" / INIT_LOG).open("ab") as log:
                # Its first process only makes the namespaces and leaves the init behind, which the sandbox's PID 1 adopts.
                started = subprocess.Popen(command, pass_fds=(write,), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        finally:
            os.close(write)
        lines = [answer.readline().strip() for _ in range(2)]
    started.wait()
    pids = [int(line) for line in lines if line.isdecimal()]
    if "ready" not in lines or not pids:
        raise RuntimeFailed(f"the task's init did not start: {' '.join(lines).strip('0 ') or 'it died'}")
    return pids[0]


def remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove every directory in `folder` but those that are called like one of `kept`."""
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def end(init: int) -> None:
    """Kill the init that was just launched, and with it all of its task."""
    with suppress(ProcessLookupError):
        os.kill(init, signal.SIGKILL)


def started_by_root(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """Return whether the sandbox's one user is root outside of it. Apps have uid 1000 inside and to each other, but to the
    machine's files they are whoever started the mesh, since no other id is mapped.
    """
    _inside, outside, _count = uid_map.read_text().split()
    return outside == "0"
