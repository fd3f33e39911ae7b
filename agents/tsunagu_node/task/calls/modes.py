"""What the registry says of how tasks of a namespace speak with each other, for all tasks of a node.

Rule: what is not known yet is not "off": a task of a namespace of which nothing was read changes nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tsunagu.model.identity.modes import OFF
from tsunagu.v1 import objects_pb2


@dataclass(frozen=True, slots=True)
class Mode:
    """The `tls` of a namespace. `since`: a registry revision at which it said so; 0: there is no such object."""

    word: str = OFF
    since: int = 0


class Modes:
    """The modes of all namespaces, as the registry last had them."""

    def __init__(self) -> None:
        self._of: dict[str, Mode] = {}
        self._version = 0
        self._changed = asyncio.Condition()

    @property
    def version(self) -> int:
        """How many times `learn` brought something else; 0: the modes are not known yet."""
        return self._version

    def of(self, namespace: str) -> Mode | None:
        """Return the mode of a namespace; None while it is not known."""
        return self._of.get(namespace, Mode()) if self._version else None

    async def learn(self, namespaces: Mapping[str, objects_pb2.Object]) -> None:
        """Take over all Namespace objects."""
        found = {name: self._next(name, obj) for name, obj in namespaces.items()}
        if self._version and found == self._of:
            return
        async with self._changed:
            self._of = found
            self._version += 1
            self._changed.notify_all()

    def _next(self, name: str, obj: objects_pb2.Object) -> Mode:
        word, before = obj.namespace.tls or OFF, self._of.get(name)
        return before if before is not None and before.word == word else Mode(word, obj.meta.revision)

    async def newer(self, version: int) -> None:
        """Wait until `self.version` is greater than `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > version)
