"""How large a manifest's objects may be: AWS's limits, without which one object could block all that has to be read with it.

The one rule: a size is refused where it is written (`validate`, `apply`), in the unit that AWS states it in.
Source: Amazon ECS service quotas; ECS API Reference, the shapes named here; Secrets Manager quotas.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToDict

from tsunagu.model import images, references
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject

TASK_DEFINITION_BYTES = 64 * 1024
SECRET_BYTES = 64 * 1024
ARGUMENT_BYTES = 128 * 1024  # one argument, or one variable with its name: MAX_ARG_STRLEN (execve(2))
START_BYTES = 2 * 1024 * 1024 - 64 * 1024  # all of them: a quarter of the default stack, less what the agent adds
_SURELY_SMALL = 4 * 1024  # encoded; names of members and braces make more of it, but not sixteen times as much


def task_definition_size(subject: Subject) -> Iterator[Issue]:
    """A task definition has at most 64 KiB, as the JSON in which AWS takes it."""
    definition = subject.definition
    if definition.ByteSize() < _SURELY_SMALL:
        return
    size = len(json.dumps(MessageToDict(definition), separators=(",", ":"), ensure_ascii=False).encode())
    if size > TASK_DEFINITION_BYTES:
        message = (
            f"the task definition is {size:,} bytes as JSON, more than the {TASK_DEFINITION_BYTES:,} that AWS takes"
        )
        yield issue("", message, "put large values into a SecretValue or a file")


def start_size(subject: Subject) -> Iterator[Issue]:
    """What a container is started with fits into the kernel's limits, with what its Image and its secrets add."""
    if subject.definition.ByteSize() > TASK_DEFINITION_BYTES:
        return  # which is reported
    values = subject.indexes.objects("SecretValue")
    for index, container in enumerate(subject.definition.container_definitions):
        image = references.image_for(container.image, subject.indexes.state)
        entry, command = images.arguments(container, image)
        given = {pair.name: pair.value.encode() for pair in container.environment}
        of_image = {name: value.encode() for name, value in image.environment.items()} if image else {}
        secret = {
            one.name: values[one.value_from].secret_value.value for one in container.secrets if one.value_from in values
        }
        environment = {**of_image, **given, **secret}
        sizes = {name: len(name.encode()) + len(value) + 2 for name, value in environment.items()}
        sizes |= {f"argument {number}": len(one.encode()) + 1 for number, one in enumerate((*entry, *command))}
        largest = max(sizes, key=lambda name: sizes[name], default="")
        path = f"containerDefinitions[{index}]"
        if largest and sizes[largest] > ARGUMENT_BYTES:
            reason = f"{largest} is {sizes[largest]:,} bytes, more than the {ARGUMENT_BYTES:,} that Linux starts a program with"
            yield issue(path, reason, "put it into a file")
        elif sum(sizes.values()) > START_BYTES:
            total = f"environment and arguments are {sum(sizes.values()):,} bytes"
            yield issue(
                path, f"{total}, more than the {START_BYTES:,} that Linux starts a program with", "put them into files"
            )


def secret_size(subject: Subject) -> Iterator[Issue]:
    """A secret has at most 64 KiB (65,536 bytes)."""
    size = len(subject.obj.secret_value.value)
    if size > SECRET_BYTES:
        yield issue("value", f"the secret is {size:,} bytes, more than the {SECRET_BYTES:,} that AWS takes")
