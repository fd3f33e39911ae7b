"""What a validation rule looks at: one object, and the indexes over all others.

The one rule: a rule gets nothing else, so that each can be read, and tested, by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.model.rules.indexes import Indexes
    from tsunagu.v1 import ecs_pb2, objects_pb2


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that a rule validates, and the indexes over all others."""

    obj: objects_pb2.Object
    indexes: Indexes

    @property
    def name(self) -> str:
        return self.obj.meta.name

    @property
    def definition(self) -> ecs_pb2.RegisterTaskDefinitionRequest:
        return self.obj.task_definition.spec
