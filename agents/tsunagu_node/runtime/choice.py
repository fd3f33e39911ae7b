"""The runtimes that there are, and how a node agent starts with one: the only place that names them.

A runtime starts in two steps. `launch` runs in the process that was started by hand or by `tsunagu up`: it prepares the
place in which the tasks live, runs the agent's main there, and attends to it. `connect` runs in that main and returns the
runtime. Rule: an implementation is imported when it is chosen, and not before.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tsunagu_node.runtime.contract import Runtime, RuntimeUnavailable
from tsunagu_node.runtime.docker.settings import Settings

LINUX: Final = "linux"
DOCKER: Final = "docker"


def launch(kind: str, home: Path, agent: Sequence[str], settings: Settings | None = None) -> int:
    """Run the command `agent` where the tasks of the mesh in `home` live; return its exit code.

    The command gets more arguments, for `connect`. `settings`: of the docker runtime. Raises RuntimeUnavailable.
    """
    if kind == LINUX:
        from tsunagu_node.runtime.linux import launcher  # noqa: PLC0415 - by the rule above

        return launcher.launch(home, agent)
    if kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher  # noqa: PLC0415

        return docker_launcher.launch(home, agent, settings or Settings())
    raise _unknown(kind)


def connect(kind: str, home: Path, arguments: Sequence[str]) -> Runtime:
    """Return the runtime; `arguments` are those that `launch` added. Raises RuntimeUnavailable."""
    if kind == LINUX:
        from tsunagu_node.runtime.linux.host_client import HostClient, inherited  # noqa: PLC0415
        from tsunagu_node.runtime.linux.runtime import LinuxRuntime  # noqa: PLC0415

        return LinuxRuntime(home, HostClient(inherited(int(arguments[0]))))
    if kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher  # noqa: PLC0415

        return docker_launcher.connect(home, arguments)
    raise _unknown(kind)


def _unknown(kind: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"there is no runtime {kind!r}; there are {LINUX} and {DOCKER}")
