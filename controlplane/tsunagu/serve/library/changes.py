"""A change: several steps, in several groups, that are checked and offered as one.

Rule: a step only says what is to be; what it means for what is there (`replace` and `clear` take away the rest of a
group) is found out when the change is made, so that nothing can come between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias

from tsunagu.serve.library.messages import resource_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from tsunagu.serve.library.messages import Message
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.type_table import TypeName, TypeTable

EVERYONE = "everyone"  # the group of those who name none

#: group, type URL, name
Key: TypeAlias = tuple[str, str, str]


class Change:
    """Several steps, made as one when its `with` block ends well; a later step on a name wins over an earlier one.

    Every step may bear a `version`: that of the resources which it puts, and in SotW that of the types which it changes.
    """

    def __init__(self, types: TypeTable, make: Callable[[Change], None]) -> None:
        self._types = types
        self._make = make
        self.steps: dict[Key, Resource | None] = {}  # None: to be taken away
        self.cleared: set[str] = set()  # groups that lose what no step puts; invariant: only steps after that remain
        self.versions: dict[
            tuple[str, str], str
        ] = {}  # (group, type URL) -> the version of the last step, if it has one

    def put(
        self, *messages: Message, group: str = EVERYONE, ttl: float | None = None, version: str | None = None
    ) -> None:
        """As `XdsServer.put`. Raises NotAResource, BadResource: then nothing of this step is in the change."""
        for one in [resource_of(message, self._types, ttl, version) for message in messages]:
            self._step(group, one.type_url, one.name, one, version)

    def remove(self, type_url: TypeName, *names: str, group: str = EVERYONE, version: str | None = None) -> None:
        """As `XdsServer.remove`. Raises UnknownType."""
        url = self._types.find(type_url).url
        for name in names:
            self._step(group, url, name, None, version)

    def replace(
        self, *messages: Message, group: str = EVERYONE, ttl: float | None = None, version: str | None = None
    ) -> None:
        """As `XdsServer.replace`. Raises as `put`."""
        fresh = Change(self._types, self._make)
        fresh.put(*messages, group=group, ttl=ttl, version=version)
        self.clear(group, version=version)
        self.steps.update(fresh.steps)
        self.versions.update(fresh.versions)

    def clear(self, group: str = EVERYONE, *, version: str | None = None) -> None:
        """As `XdsServer.clear`."""
        for key in [key for key in self.steps if key[0] == group]:
            del self.steps[key]
        for at in [at for at in self.versions if at[0] == group]:
            del self.versions[at]
        self.cleared.add(group)
        if version is not None:
            self.versions[group, ""] = version

    def version_of(self, group: str, type_url: str) -> str:
        """The version that the change gives a type of a group; empty: none."""
        return self.versions.get((group, type_url), self.versions.get((group, ""), ""))

    def whole(self, held: Callable[[str], Iterable[Resource]]) -> dict[Key, Resource | None]:
        """Return the steps and what `cleared` takes away of what is `held` by these groups."""
        gone: dict[Key, Resource | None] = {
            (group, one.type_url, one.name): None for group in sorted(self.cleared) for one in held(group)
        }
        return gone | self.steps

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._make(self)

    def _step(self, group: str, type_url: str, name: str, one: Resource | None, version: str | None) -> None:
        self.steps[group, type_url, name] = one
        self.versions[group, type_url] = version or ""
