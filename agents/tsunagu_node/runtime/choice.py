"""The runtimes that there are, which of them is taken, and how a node agent starts with it: the only place that names them.

A runtime starts in two steps. `launch` runs in the process that was started by hand or by `tsunagu up`: it prepares the
place in which the tasks live, runs the agent's main there, and attends to it. `connect` runs in that main and returns the
runtime. Rule: an implementation is imported when it is chosen, and not before; why it was chosen goes with it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tsunagu_node.runtime.contract import Runtime, RuntimeUnavailable
from tsunagu_node.runtime.docker.settings import Settings

AUTO: Final = "auto"
LINUX: Final = "linux"
DOCKER: Final = "docker"
KINDS: Final = (LINUX, DOCKER)


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime, and why it is this one, for people. `settings`: of the docker runtime."""

    kind: str
    reason: str
    settings: Settings = field(default_factory=Settings)

    def encoded(self) -> str:
        """Return it as one argument of a command."""
        return json.dumps([self.kind, self.reason, self.settings.argument()])

    @classmethod
    def decoded(cls, argument: str) -> "Choice":
        """Return what `encoded` returned."""
        kind, reason, settings = json.loads(argument)
        return cls(kind, reason, Settings.parse(settings))


def choose(asked: str, needs_image: str, engine: Callable[[], object]) -> Choice:
    """Return the choice, without settings.

    `asked`: auto, or the runtime that the user wants. `needs_image`: says which container only its image can run; empty when
    there is none. `engine` asks the engine, and raises RuntimeUnavailable when it does not answer; so does this when it is
    wanted by name.
    """
    if asked == LINUX:
        return Choice(LINUX, "it was asked for (--runtime linux)")
    if asked == DOCKER:
        engine()
        return Choice(DOCKER, "it was asked for (--runtime docker)")
    if asked != AUTO:
        raise _unknown(asked)
    if not needs_image:
        return Choice(LINUX, "every container has a command")
    try:
        engine()
    except RuntimeUnavailable as error:
        return Choice(LINUX, f"{needs_image}, but {error}")
    return Choice(DOCKER, needs_image)


def launch(choice: Choice, home: Path, agent: Sequence[str]) -> int:
    """Run the command `agent` where the tasks of the mesh in `home` live; return its exit code.

    The command gets more arguments, for `connect`. Raises RuntimeUnavailable.
    """
    if choice.kind == LINUX:
        from tsunagu_node.runtime.linux import launcher  # noqa: PLC0415 - by the rule above

        return launcher.launch(home, agent)
    if choice.kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher as docker  # noqa: PLC0415

        return docker.launch(home, agent, choice.settings)
    raise _unknown(choice.kind)


def connect(choice: Choice, home: Path, arguments: Sequence[str]) -> Runtime:
    """Return the runtime; `arguments` are those that `launch` added. Raises RuntimeUnavailable."""
    if choice.kind == LINUX:
        from tsunagu_node.runtime.linux.host_client import HostClient, inherited  # noqa: PLC0415
        from tsunagu_node.runtime.linux.runtime import LinuxRuntime  # noqa: PLC0415

        return LinuxRuntime(home, HostClient(inherited(int(arguments[0]))))
    if choice.kind == DOCKER:
        from tsunagu_node.runtime.docker import docker_launcher as docker  # noqa: PLC0415

        return docker.connect(home, arguments)
    raise _unknown(choice.kind)


def _unknown(kind: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"there is no runtime {kind!r}; there are {' and '.join(KINDS)}")
