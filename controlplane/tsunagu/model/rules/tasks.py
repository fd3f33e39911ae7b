"""Validation rules for task definitions: containers, their order, their ports, their commands.

The one rule: a validation rule is a generator of issues about one Subject, is listed in RULES, and depends on no other.

Sources: ECS API Reference, RegisterTaskDefinition and its shapes; ECS Developer Guide, Service Connect (its limits).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import images, privileges, references
from tsunagu.model.rules import parts, sizes, task_sizes
from tsunagu.model.rules.constraints import issue, shown, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import ecs_pb2

#: Ports of a task that are reserved for its proxy.
RESERVED = range(15000, 16000)
_HEALTH_COMMANDS = ("CMD", "CMD-SHELL", "NONE")
_PROGRAM = re.compile(r"[\w./-]*/[\w./-]+")
_SHELL_SIGN = re.compile(r"[|&;<>$`*?~(){}]")
_NEEDS_END = ("COMPLETE", "SUCCESS")


def container_names(subject: Subject) -> Iterator[Issue]:
    """The names of containers are unique in a task."""
    seen: set[str] = set()
    for index, container in enumerate(subject.definition.container_definitions):
        if container.name in seen:
            yield issue(f"containerDefinitions[{index}].name", f"{container.name!r} is the name of two containers")
        seen.add(container.name)


def one_essential(subject: Subject) -> Iterator[Issue]:
    """At least one container is essential (the default)."""
    containers = subject.definition.container_definitions
    if containers and not any(_essential(one) for one in containers):
        yield issue(
            "containerDefinitions", "no container is essential", "leave `essential` out of one: the default is true"
        )


def linux_only(subject: Subject) -> Iterator[Issue]:
    """Windows is refused: it has no Service Connect, and tasks are Linux processes here."""
    system = subject.definition.runtime_platform.operating_system_family
    if system.startswith("WINDOWS"):
        yield issue(
            "runtimePlatform.operatingSystemFamily", f"{system} is not supported", "tasks are Linux processes here"
        )


def dependencies(subject: Subject) -> Iterator[Issue]:
    """A dependsOn entry names a container of the task and a condition that this one can meet."""
    containers = {one.name: one for one in subject.definition.container_definitions}
    for index, container in enumerate(subject.definition.container_definitions):
        for number, wanted in enumerate(container.depends_on):
            path = f"containerDefinitions[{index}].dependsOn[{number}]"
            target = containers.get(wanted.container_name)
            if target is None:
                hint = did_you_mean(wanted.container_name, containers)
                yield issue(f"{path}.containerName", f"there is no container {shown(wanted.container_name)}", hint)
            else:
                yield from _condition(wanted.condition, target, f"{path}.condition")


def _condition(condition: str, target: ecs_pb2.ContainerDefinition, path: str) -> Iterator[Issue]:
    if condition == "HEALTHY" and not images.has_check(target):
        yield issue(
            path, f"HEALTHY needs a healthCheck, and container {target.name!r} has none", "add one, or wait for START"
        )
    if condition in _NEEDS_END and _essential(target):
        reason = f"{condition} waits for the end of container {target.name!r}, which is essential: its end would end the task"
        yield issue(path, reason, 'give it "essential": false')


def no_cycle(subject: Subject) -> Iterator[Issue]:
    """There is no cycle in dependsOn."""
    containers = {one.name: one for one in subject.definition.container_definitions}
    edges = {name: [one.container_name for one in box.depends_on] for name, box in containers.items() if name}
    done: set[str] = set()
    for start in edges:
        cycle = _cycle(start, edges, done)
        if cycle:
            yield issue(
                "containerDefinitions", f"dependsOn has a cycle: {' -> '.join(cycle)}", "one of them must start first"
            )
            return


def _cycle(start: str, edges: dict[str, list[str]], done: set[str]) -> list[str]:
    """The path from a container back to itself; empty if there is none. Iterative, because a chain may be long."""
    way: list[tuple[str, Iterator[str]]] = [(start, iter(edges[start]))] if start not in done else []
    while way:
        name, ahead = way[-1]
        step = next((one for one in ahead if one in edges and one not in done), None)
        names = [one for one, _ in way]
        if step is None:
            done.add(name)
            way.pop()
        elif step in names:
            return [*names[names.index(step) :], step]
        else:
            way.append((step, iter(edges[step])))
    return []


def ports(subject: Subject) -> Iterator[Issue]:
    """Port names and numbers are unique in a task, and no port is reserved for the proxy."""
    named: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for i, j, _, mapping in references.port_mappings(subject.definition):
        path = f"containerDefinitions[{i}].portMappings[{j}]"
        number = (mapping.container_port, mapping.protocol or "tcp")
        if mapping.name and mapping.name in named:
            yield issue(f"{path}.name", f"{mapping.name!r} is the name of two ports of this task")
        if mapping.container_port and number in numbers:
            yield issue(
                f"{path}.containerPort",
                f"{number[0]}/{number[1]} is mapped twice; containers of a task share their ports",
            )
        named.add(mapping.name)
        numbers.add(number)
        yield from _port(mapping, path, subject.definition.network_mode)


def _port(mapping: ecs_pb2.PortMapping, path: str, network_mode: str) -> Iterator[Issue]:
    if mapping.container_port in RESERVED:
        yield issue(
            f"{path}.containerPort", f"{mapping.container_port} is one of 15000-15999, which are reserved for the proxy"
        )
    if not mapping.container_port and not mapping.container_port_range:
        yield issue(path, "containerPort is missing")
    if mapping.app_protocol and mapping.protocol == "udp":
        yield issue(f"{path}.appProtocol", f"{mapping.app_protocol} runs over tcp, and the port's protocol is udp")
    if network_mode == "awsvpc" and mapping.host_port not in (0, mapping.container_port):
        reason = f"{mapping.host_port} differs from containerPort {mapping.container_port}, which awsvpc does not allow"
        yield issue(f"{path}.hostPort", reason, "leave it out")


def health_checks(subject: Subject) -> Iterator[Issue]:
    """A health check's command begins with CMD, CMD-SHELL or NONE."""
    for index, container in enumerate(subject.definition.container_definitions):
        path = f"containerDefinitions[{index}].healthCheck.command"
        yield from health_command(list(container.health_check.command), path)


def health_command(command: list[str], path: str) -> Iterator[Issue]:
    """Yield the issues of a health check's command.

    AWS's own samples have checks of a single program, without CMD; such a one is run, with a warning (`warnings`).
    """
    if command and command[0] not in _HEALTH_COMMANDS and not is_bare_check(command):
        yield issue(f"{path}[0]", f"{shown(command[0])} is none of {words(_HEALTH_COMMANDS)}", _health_hint(command))
    elif command and command[0] != "NONE" and not any(command[1:2]) and not is_bare_check(command):
        yield issue(path, f"nothing follows {command[0]}", 'write e.g. ["CMD-SHELL", "curl -f http://localhost/"]')


def is_bare_check(command: Sequence[str]) -> bool:
    """Whether a health check is one program alone, by its path."""
    return len(command) == 1 and _PROGRAM.fullmatch(command[0]) is not None and command[0] not in _HEALTH_COMMANDS


def is_line_as_program(command: Sequence[str]) -> bool:
    """Whether what follows CMD is one text that only a shell could read: no program has such a name."""
    return len(command) == 2 and command[0] == "CMD" and " " in command[1] and bool(_SHELL_SIGN.search(command[1]))


def _health_hint(command: list[str]) -> str:
    """How to write a command that has no first word: a shell reads what has a blank or a shell's sign."""
    meant = next((one for one in _HEALTH_COMMANDS if command[0].upper().replace("_", "-") == one), "")
    if meant:
        return f"write {meant}"
    first, _, rest = command[0].partition(" ")
    if first in _HEALTH_COMMANDS:  # the whole line in one text
        command = [*rest.split(), *command[1:]] if first == "CMD" else [rest, *command[1:]]
    if first != "CMD" and (any(map(_SHELL_SIGN.search, command)) or (len(command) == 1 and " " in command[0])):
        return f"write {json.dumps(['CMD-SHELL', ' '.join(command)])}"
    return f"write {json.dumps(['CMD', *command])}"


def timeouts(subject: Subject) -> Iterator[Issue]:
    """On Fargate a container's timeouts are 2 to 120 seconds."""
    if "FARGATE" not in subject.definition.requires_compatibilities:
        return
    for index, container in enumerate(subject.definition.container_definitions):
        for field, name in (("stop_timeout", "stopTimeout"), ("start_timeout", "startTimeout")):
            seconds = getattr(container, field)
            if container.HasField(field) and not 2 <= seconds <= 120:  # type: ignore[arg-type]
                yield issue(
                    f"containerDefinitions[{index}].{name}", f"{seconds} is out of range", "Fargate takes 2 to 120"
                )


def processes(subject: Subject) -> Iterator[Issue]:
    """Each container has a command, its own or its Image's, and that begins with a program."""
    for index, container in enumerate(subject.definition.container_definitions):
        entry, command = images.arguments(container, references.image_for(container.image, subject.indexes.state))
        if [*entry, *command][:1] == [""]:
            own = "entryPoint" if container.entry_point else "command" if container.command else "image"
            yield issue(f"containerDefinitions[{index}].{own}", "the program is empty", "write what is started")
        missing = images.missing_command(container, subject.indexes.state)
        if missing is not None:
            yield issue(f"containerDefinitions[{index}].image", *missing)


def beyond_the_task(subject: Subject) -> Iterator[Issue]:
    """What reaches beyond the task's own containers is allowed by a node that would give it (`privileges`)."""
    state = subject.indexes.state
    if not images.run_in_images(subject.definition, state):
        return
    nodes = (obj.node for obj in subject.indexes.objects("Node").values() if images.runs_images(obj.node))
    refusals = [list(privileges.refused(subject.definition, node.project, node.allowed)) for node in nodes]
    for demand in min(refusals, key=len, default=()):
        yield issue(demand.path, str(demand), demand.remedy)


def secrets(subject: Subject) -> Iterator[Issue]:
    """Every secret has a value."""
    values = subject.indexes.objects("SecretValue")
    for index, container in enumerate(subject.definition.container_definitions):
        left_out = images.is_left_out(container, subject.indexes.state)
        for number, secret in enumerate(container.secrets):
            if secret.value_from and secret.value_from not in values and not left_out:
                yield issue(
                    f"containerDefinitions[{index}].secrets[{number}]",
                    f"the secret {secret.name!r} has no value",
                    f"put {secret.name}=VALUE or {secret.value_from}=VALUE into a file for --env-file",
                )


def unchanged(subject: Subject) -> Iterator[Issue]:
    """A registered revision never changes, and is named by its family and number."""
    put = subject.obj.task_definition
    if subject.name != f"{put.spec.family}:{put.revision}" or put.revision < 1:
        yield issue("", f"its name is not {put.spec.family}:{put.revision}", "a revision counts from 1")
    known = references.objects(subject.indexes.before, "TaskDefinition").get(subject.name)
    if known is not None and known.task_definition != put:
        yield issue("", f"{subject.name} is registered with other content", "register the next revision")


def _essential(container: ecs_pb2.ContainerDefinition) -> bool:
    return container.essential or not container.HasField("essential")


RULES = (
    *(unchanged, container_names, one_essential, linux_only, dependencies, no_cycle),
    *(ports, health_checks, processes, beyond_the_task, secrets, timeouts, parts.volumes, parts.links, parts.variables),
    *(sizes.task_definition_size, sizes.start_size),
    *(task_sizes.task_sizes, task_sizes.container_sizes, task_sizes.fargate_network),
)
