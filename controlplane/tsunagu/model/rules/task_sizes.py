"""Validation rules for CPU and memory: sizes that AWS refuses are told before they reach AWS.

Nothing is limited here by them. The one rule: as in ``tasks``, which lists these rules. A text that a template language has left
is no size yet; it is warned of as every such text.

Sources: ECS Developer Guide, task definition parameters for Fargate (task size) and for EC2; ECS API Reference,
RegisterTaskDefinition (cpu, memory) and ContainerDefinition.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tsunagu.model.manifests import templates
from tsunagu.model.rules.constraints import issue, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject

_GIB: Final = 1024
_CPU: Final = re.compile(r"(?P<whole>\d+)|(?P<units>\d*\.?\d+)\s*vcpu", re.IGNORECASE)
_MEMORY: Final = re.compile(r"(?P<whole>\d+)|(?P<units>\d*\.?\d+)\s*gb", re.IGNORECASE)
#: CPU units of a task on Fargate -> the memory in MiB that it may have.
_FARGATE: Final[dict[int, Sequence[int]]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4 * _GIB + 1, _GIB),
    1024: range(2 * _GIB, 8 * _GIB + 1, _GIB),
    2048: range(4 * _GIB, 16 * _GIB + 1, _GIB),
    4096: range(8 * _GIB, 30 * _GIB + 1, _GIB),
    8192: range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB),
    16384: range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB),
}


def cpu_units(text: str) -> int | None:
    """A task's `cpu`, as `_size` reads it."""
    return _size(_CPU, text)


def mebibytes(text: str) -> int | None:
    """A task's `memory`, as `_size` reads it."""
    return _size(_MEMORY, text)


def task_sizes(subject: Subject) -> Iterator[Issue]:
    """The size of a task is a number of CPU units and MiB, and on Fargate one of AWS's."""
    definition = subject.definition
    cpu, memory = cpu_units(definition.cpu), mebibytes(definition.memory)
    if cpu == 0:
        yield issue("cpu", f"{shown(definition.cpu)} is no size", 'write CPU units, as "256", or "0.25 vCPU"')
    if memory == 0:
        yield issue("memory", f"{shown(definition.memory)} is no size", 'write MiB, as "512", or "0.5 GB"')
    if "FARGATE" in definition.requires_compatibilities and cpu != 0 and memory != 0:
        yield from _on_fargate(cpu, memory)


def _size(form: re.Pattern[str], text: str) -> int | None:
    """A size in CPU units or MiB; 0 if it is none, None if there is none or a template has to say it."""
    if not text or templates.sign_in(text):
        return None
    found = form.fullmatch(text.strip())
    if found is None:
        return 0
    return int(found["whole"]) if found["whole"] else round(float(found["units"]) * 1024)


def _on_fargate(cpu: int | None, memory: int | None) -> Iterator[Issue]:
    if cpu is None or memory is None:
        return
    if cpu not in _FARGATE:
        yield issue("cpu", f"{cpu} is no size of Fargate", f"it has {', '.join(map(str, _FARGATE))}")
    elif memory not in _FARGATE[cpu]:
        sizes = _FARGATE[cpu]
        step = f", in steps of {sizes.step}" if isinstance(sizes, range) else ""
        words = f"{sizes[0]} to {sizes[-1]}{step}" if step else ", ".join(map(str, sizes))
        yield issue("memory", f"{memory} does not go with cpu {cpu} on Fargate", f"it takes {words}")


def container_sizes(subject: Subject) -> Iterator[Issue]:
    """A container's memory is within its task's, and what is reserved for it within its limit."""
    task = mebibytes(subject.definition.memory)
    reserved = 0
    for index, container in enumerate(subject.definition.container_definitions):
        path = f"containerDefinitions[{index}]"
        reserved += container.memory_reservation or container.memory
        if task and container.memory > task:
            yield issue(f"{path}.memory", f"{container.memory} is more than the task's memory, {task}")
        elif container.memory and container.memory_reservation > container.memory:
            reason = f"{container.memory_reservation} is more than the container's memory, {container.memory}"
            yield issue(f"{path}.memoryReservation", reason)
    if task and reserved > task and all(one.memory <= task for one in subject.definition.container_definitions):
        yield issue("memory", f"the containers reserve {reserved}, which is more than the task's {task}")


def fargate_network(subject: Subject) -> Iterator[Issue]:
    """Fargate has no networkMode but awsvpc. (Without one a task has it here; AWS wants it written.)"""
    definition = subject.definition
    if "FARGATE" in definition.requires_compatibilities and definition.network_mode not in ("", "awsvpc"):
        yield issue("networkMode", f"Fargate has no networkMode {definition.network_mode}", "write awsvpc")
