"""The runtimes that there are, which of them is taken, and how a node agent starts with it: the only place that names them.

A runtime starts in two steps. `launch` runs in the process that was started by hand or by `tsunagu up`: it prepares the
place in which the tasks live, runs the agent's main there, and attends to it. `connect` runs in that main and returns the
runtime. Rule: an implementation is imported when it is chosen, and not before; why it was chosen goes with it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tsunagu_node.runtime.contract import Runtime, RuntimeUnavailable
from tsunagu_node.runtime.docker.settings import Settings
from tsunagu_node.runtime.folders import Folders

AUTO: Final = "auto"
LINUX: Final = "linux"
DOCKER: Final = "docker"
BOTH: Final = "linux,docker"
KINDS: Final = (LINUX, DOCKER)


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime, and why it is this one, for people. `settings`: of the docker runtime."""

    kind: str
    reason: str
    settings: Settings = field(default_factory=Settings)

    @property
    def node(self) -> str:
        """The name of its node among several."""
        return self.kind

    def encoded(self) -> str:
        """Return it as one argument of a command."""
        return json.dumps([self.kind, self.reason, self.settings.argument()])

    @classmethod
    def decoded(cls, argument: str) -> "Choice":
        """Return what `encoded` returned."""
        kind, reason, settings = json.loads(argument)
        return cls(kind, reason, Settings.parse(settings))


@dataclass(frozen=True, slots=True)
class Needs:
    """What the manifests need. `image`: which container only its image can run; `process`: which task is stood in for by
    commands of this machine. Both are for people, and empty when there is none.
    """

    image: str = ""
    process: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of the machine, and only where the answer matters. `engine` raises RuntimeUnavailable when no engine
    answers; `both`: when nodes of both runtimes cannot be beside each other.
    """

    engine: Callable[[], object]
    both: Callable[[], object]


def choose(asked: str, needs: Needs, machine: Machine) -> tuple[Choice, ...]:
    """Return the choice for each node of the mesh, without settings.

    `asked`: auto, or what the user wants. Raises RuntimeUnavailable when what is wanted by name is not to be had.
    """
    if asked not in (AUTO, BOTH, *KINDS):
        raise _unknown(asked)
    if asked == AUTO:
        return _automatic(needs, machine)
    if asked in (BOTH, DOCKER):
        machine.engine()
    if asked == BOTH:
        machine.both()
    return tuple(Choice(kind, f"it was asked for (--runtime {asked})") for kind in asked.split(","))


def _automatic(needs: Needs, machine: Machine) -> tuple[Choice, ...]:
    if not needs.image:
        return (Choice(LINUX, "every container has a command"),)
    try:
        machine.engine()
    except RuntimeUnavailable as error:
        return (Choice(LINUX, f"{needs.image}, but {error}"),)
    if not needs.process:
        return (Choice(DOCKER, needs.image),)
    try:
        machine.both()
    except RuntimeUnavailable as error:
        return (Choice(DOCKER, f"{needs.image}; {needs.process}, but {error}"),)
    return Choice(LINUX, needs.process), Choice(DOCKER, needs.image)


def launch(choice: Choice, folders: Folders, agent: Sequence[str]) -> int:
    """Run the command `agent` where the tasks of the node of these folders live; return its exit code.

    The command gets more arguments, for `connect`. Raises RuntimeUnavailable.
    """
    if choice.kind == LINUX:
        from tsunagu_node.runtime.linux import launcher  # noqa: PLC0415 - by the rule above

        return launcher.launch(folders, agent)
    if choice.kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher as docker  # noqa: PLC0415

        return docker.launch(folders, agent, choice.settings)
    raise _unknown(choice.kind)


def connect(choice: Choice, folders: Folders, arguments: Sequence[str]) -> Runtime:
    """Return the runtime; `arguments` are those that `launch` added. Raises RuntimeUnavailable."""
    if choice.kind == LINUX:
        from tsunagu_node.runtime.linux.host_client import HostClient, inherited  # noqa: PLC0415
        from tsunagu_node.runtime.linux.runtime import LinuxRuntime  # noqa: PLC0415

        return LinuxRuntime(folders, HostClient(inherited(int(arguments[0]))))
    if choice.kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher as docker  # noqa: PLC0415

        return docker.connect(folders, arguments)
    raise _unknown(choice.kind)


def _unknown(kind: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"there is no runtime {kind!r}; there are {' and '.join(KINDS)}")
