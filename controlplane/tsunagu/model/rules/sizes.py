"""How large a manifest's objects may be: AWS's limits, without which one object could block all that has to be read with it.

The one rule: a size is refused where it is written (`validate`, `apply`), in the unit that AWS states it in.
Source: Amazon ECS service quotas; ECS API Reference, the shapes named here; Secrets Manager quotas.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToDict

from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.tasks import Subject

TASK_DEFINITION_BYTES = 64 * 1024
SECRET_BYTES = 64 * 1024
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


def secret_size(subject: Subject) -> Iterator[Issue]:
    """A secret has at most 64 KiB (65,536 bytes)."""
    size = len(subject.obj.secret_value.value)
    if size > SECRET_BYTES:
        yield issue("value", f"the secret is {size:,} bytes, more than the {SECRET_BYTES:,} that AWS takes")
