"""Removes what the processes of a mesh left in its directory.

Rule: a socket is unlinked only when nobody listens at it, so that a mesh that was just started again in the same
directory loses nothing. Logs stay. Standard library only.
"""

import contextlib
import json
import os
import signal
import socket
import time
from typing import Final, NamedTuple

from tsunagu_node.runtime.linux import processes

LOCK: Final = "sandbox.lock"
SANDBOX: Final = "sandbox.json"
AGENT: Final = "node.json"
_OF_MESH: Final = ("api.sock", "xds/sock", "xds.sock")
_OF_NODE: Final = "node.sock"
_KEPT: Final = frozenset({"log", "state.json"})
_PATIENCE: Final = 2.0


class Places(NamedTuple):
    """The mesh's directory, and the folder of one of its nodes, which may be the same."""

    mesh: str
    node: str


def mesh(places: Places, *, end_agent: bool) -> None:
    """Sweep after the sandbox's end; with `end_agent` kill the agent's outer process first."""
    if end_agent:
        agent(places.node)
    tasks(places.node)
    _unlink(f"{places.node}/{SANDBOX}")
    deadline = time.monotonic() + _PATIENCE  # the control plane may still be ending
    while sockets(places) and end_agent and time.monotonic() < deadline:
        time.sleep(0.05)


def wake_agent(folder: str) -> None:
    """Continue the agent's outer process, should it be stopped, so that it reaps its child."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        record = read(folder, AGENT)
        if processes.same(record["pid"], record["begun"]):
            os.kill(record["pid"], signal.SIGCONT)


def agent(folder: str) -> None:
    """Kill the outer process of the node's agent."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        record = read(folder, AGENT)
        processes.kill(record["pid"], record["begun"], 1.0)
    _unlink(f"{folder}/{AGENT}")


def tasks(folder: str) -> None:
    """Take away the files of a dead sandbox's tasks, but not their logs nor the record of how their processes ended."""
    with contextlib.suppress(FileNotFoundError):
        for task in os.scandir(f"{folder}/tasks"):
            for entry in os.scandir(task.path):
                if entry.name not in _KEPT:
                    _unlink(entry.path)


def sockets(places: Places) -> list[str]:
    """Unlink the sockets of the mesh and of the node at which nobody listens; return the paths of the others."""
    found = [(places.mesh, name) for name in _OF_MESH] + [(places.node, _OF_NODE)]
    held = [f"{folder}/{name}" for folder, name in found if _listening(folder, name)]
    for path in (f"{folder}/{name}" for folder, name in found):
        if path not in held:
            _unlink(path)
    return held


def read(folder: str, name: str) -> dict[str, int]:
    """Return the record of a process. Raises OSError or ValueError."""
    fd = os.open(f"{folder}/{name}", os.O_RDONLY)
    try:
        record: dict[str, int] = json.loads(os.read(fd, 65536))
    finally:
        os.close(fd)
    return record


def _listening(folder: str, name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            probe.settimeout(1.0)
            probe.connect(f"/proc/self/fd/{directory}/{name}")  # a path of any length
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
        finally:
            os.close(directory)
    return True


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - pathlib is slow to import
