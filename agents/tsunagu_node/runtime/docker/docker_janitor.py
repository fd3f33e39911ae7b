"""Takes away what a mesh leaves in the container engine, when the mesh is over: a process of the machine, beside the node agent.

Rule: when the life pipe ends, nothing is left: containers, volumes, the network; then the files of its tasks but their logs, and
the sockets at which nobody listens. An engine that is away is waited for. Standard library only: it lives as long as the mesh.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tsunagu_node.runtime.docker.engine import engine_api
from tsunagu_node.runtime.linux import processes, sweep
from tsunagu_node.runtime.linux.init import syscalls

AGENT: Final = "node.docker.json"
ROUTER: Final = "router"
"""The folder of what concerns the router (`routing.router`)."""
_RECORD: Final = "docker.json"
_KEPT: Final = frozenset({"log", "state.json"})
_LABEL: Final = "tsunagu.mesh="
_AT_ONCE: Final = 8
_PATIENCE: Final = 60.0
_PAUSE: Final = 0.2
_QUIET: Final = 2  # looks in a row that find nothing: an engine may still be making what a killed agent asked for


def main(arguments: list[str]) -> None:
    """`HOME FOLDER LIFE_FD SOCKET MESH` (HOME: the mesh's directory, FOLDER: the node's): wait for the end of the mesh and take away what it left. Its exit code is 1 when something stays."""
    places, life, socket, mesh = sweep.Places(*arguments[:2]), int(arguments[2]), arguments[3], arguments[4]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    syscalls.set_name("tsunagu-janitor")
    _woken_by(life)
    select.select([life], [], [])
    end_agent(places.node)
    left = clear(socket, mesh)
    _files(places.node)
    sweep.sockets(places)
    if left:
        print(f"what the mesh made stays in the container engine: {left}", file=sys.stderr)
        sys.exit(1)


def end_agent(folder: str) -> None:
    """Kill the node agent, so that it makes nothing new."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        record = sweep.read(folder, AGENT)
        processes.kill(record["pid"], record["begun"], 1.0)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{AGENT}")  # noqa: PTH108 - pathlib is slow to import


def clear(socket: str, mesh: str, patience: float = _PATIENCE) -> str:
    """Remove what has the mesh's label from the engine; return why something is left, empty when nothing is."""
    deadline, quiet, why = time.monotonic() + patience, 0, ""
    while quiet < _QUIET:
        try:
            quiet = 0 if _cleared(socket, f"{_LABEL}{mesh}") else quiet + 1
        except (OSError, engine_api.Refused) as error:
            why = str(error)
            if time.monotonic() > deadline:
                return why
        time.sleep(_PAUSE)
    return ""


def _cleared(socket: str, label: str) -> int:
    """Remove what is there now; return how much that was. Raises OSError and Refused."""
    containers = engine_api.call(socket, "GET", engine_api.filtered("/containers/json", label, "all=1&"))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        removing = [pool.submit(_delete, socket, f"/containers/{one['Id']}?force=1&v=1") for one in containers]
    volumes = (engine_api.call(socket, "GET", engine_api.filtered("/volumes", label)) or {}).get("Volumes") or ()
    networks = engine_api.call(socket, "GET", engine_api.filtered("/networks", label))
    for job in removing:
        job.result()
    for one in volumes:
        _delete(socket, f"/volumes/{one['Name']}")
    for one in networks:
        _delete(socket, f"/networks/{one['Id']}")
    return len(containers) + len(volumes) + len(networks)


def _delete(socket: str, target: str) -> None:
    try:
        engine_api.call(socket, "DELETE", target)
    except engine_api.Refused as error:
        if error.status not in (404, 409):  # it is gone, or somebody else is removing it
            raise


def _files(folder: str) -> None:
    """Take away the files of the node's tasks, but not their logs nor the record of how their processes ended."""
    shutil.rmtree(f"{folder}/{ROUTER}", ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        for task in os.scandir(f"{folder}/tasks"):
            names = os.listdir(task.path)  # noqa: PTH208 - pathlib is slow to import
            for name in names if _RECORD in names else ():
                path = f"{task.path}/{name}"
                if name not in _KEPT:
                    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)  # noqa: PTH108, PTH112


def _woken_by(life: int) -> None:
    """Have the kernel continue this process, should it be stopped, at the end of `life` (a pipe or a socket)."""
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGCONT)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def record(folder: str, name: str, pid: int) -> None:
    """Note which process has this part in the node; whoever reads it meanwhile reads the note before."""
    text, aside = json.dumps({"pid": pid, "begun": processes.begun(pid)}), f"{folder}/{name}.new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, text.encode())
    os.close(fd)
    os.rename(aside, f"{folder}/{name}")  # noqa: PTH104 - pathlib is slow to import
