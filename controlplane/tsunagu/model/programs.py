"""Which programs a task definition starts here, so that one that is not there is told before a task fails for it.

Containers are processes of this machine, and files written for images name programs of these. The one rule: what is started
is taken from what the node agent will be given (``images.runnable``); whether it exists is asked of the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.model import images, references
from tsunagu.model.rules.constraints import issue, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.references import State
    from tsunagu.v1 import ecs_pb2


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has. ``program``: (name or path, folder, PATH; empty texts: unknown) -> whether it can be started."""

    program: Callable[[str, str, str], bool]
    folder: Callable[[str], bool]


_FIRST_WORD = re.compile(r"\s*([\w./+-]+)(?=\s|$)")
#: Words with which a shell's command may begin though no program is called so.
_SHELLS_OWN = frozenset(
    [
        ".",
        ":",
        "alias",
        "break",
        "case",
        "cd",
        "command",
        "continue",
        "eval",
        "exec",
        "exit",
        "export",
        "for",
        "if",
        "local",
        "read",
        "return",
        "set",
        "shift",
        "source",
        "test",
        "trap",
        "type",
        "ulimit",
        "umask",
        "unset",
        "until",
        "wait",
        "while",
        "function",
        "select",
        "time",
        "true",
        "false",
        "echo",
        "printf",
        "kill",
        "pwd",
    ]
)


def absent(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State, machine: Machine) -> Iterator[Issue]:
    """Yield a warning for each program and folder that a task of this definition would not find."""
    positions = {one.name: index for index, one in enumerate(definition.container_definitions)}
    for container in images.runnable(definition, state).container_definitions:
        path = f"containerDefinitions[{positions[container.name]}]"
        image = references.image_for(container.image, state)
        yield from _start(container, path, machine, has_image=image is not None)
        yield from _check(container, path, machine)


def _start(container: ecs_pb2.ContainerDefinition, path: str, machine: Machine, *, has_image: bool) -> Iterator[Issue]:
    argv = [*container.entry_point, *container.command]
    folder = container.working_directory
    if folder.startswith("/") and not machine.folder(folder):
        hint = "correct the Image's" if has_image else "the workingDirectory of a `kind: Image` replaces it"
        yield issue(f"{path}.workingDirectory", f"there is no folder {folder} on this machine", hint)
    elif argv and argv[0] and not machine.program(argv[0], folder, _search_path(container)):
        hint = "`kind: Image` says what runs here: with `override: true` its command wins, or with `entryPoint` it comes first"
        yield issue(path, f"container {container.name!r} starts {shown(argv[0])}, which is not on this machine", hint)


def _check(container: ecs_pb2.ContainerDefinition, path: str, machine: Machine) -> Iterator[Issue]:
    program = _checking(list(container.health_check.command))
    if program and not machine.program(program, container.working_directory, _search_path(container)):
        reason = (
            f"the check starts {shown(program)}, which is not on this machine: the container would never be HEALTHY"
        )
        yield issue(
            f"{path}.healthCheck.command", reason, "`kind: Image` with `healthCheck` replaces it; `none` takes it away"
        )


def _checking(command: list[str]) -> str:
    """The program that a health check starts; empty if there is none, or only a shell knows."""
    if not command or command[0] == images.NO_CHECK:
        return ""
    if command[0] == "CMD":
        return command[1] if len(command) > 1 else ""
    if command[0] != "CMD-SHELL":
        return command[0]
    word = _FIRST_WORD.match(command[1]) if len(command) > 1 else None
    return word[1] if word and word[1] not in _SHELLS_OWN else ""


def _search_path(container: ecs_pb2.ContainerDefinition) -> str:
    return next((pair.value for pair in container.environment if pair.name == "PATH"), "")
