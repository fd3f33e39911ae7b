"""Anybody's messages as resources: official protobuf classes, betterproto2's (envoy_data_plane), or whatever has bytes.

Rule: what a message is and what it is called is read from the message itself, so that the two can never differ; and no
library is imported for it that the caller has not imported already.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tsunagu.xds import wire
from tsunagu.xds.resources import EDS, Resource, ResourceType, check
from tsunagu.xds.type_table import TypeTable

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "type.googleapis.com/"
#: Our wire-compatible subset of Envoy's own, for those who put endpoints often: thirty times faster than betterproto2.
_SUBSETS = {"tsunagu.v1.xds.ClusterLoadAssignment": EDS}


class Serializable(Protocol):
    """A message of google.protobuf."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class HasBytes(Protocol):
    """A message of betterproto2, as those of envoy_data_plane are."""

    def __bytes__(self) -> bytes: ...


Message: TypeAlias = Resource | Serializable | HasBytes


class NotAResource(TypeError):
    """What was given is no resource of xDS, or says too little of itself."""


_KNOWN = TypeTable()


def resource(
    message: Message, *, ttl: float | None = None, version: str | None = None, aliases: Iterable[str] = ()
) -> Resource:
    """The message as a Resource, named by its own field; with a time to live (seconds), a version of the caller's, and
    other names, if they are given. A Resource is returned as it is if none is. Raises NotAResource, BadResource.
    """
    made = _checked(message, _KNOWN) if isinstance(message, Resource) else _read(message, _KNOWN)
    also = tuple(aliases)
    return made if ttl is None and version is None and not also else _with(made, _KNOWN, ttl, version, also)


def resource_of(message: Message, types: TypeTable, ttl: float | None, version: str | None) -> Resource:
    """`resource`, of a server that knows these types."""
    made = _checked(message, types) if isinstance(message, Resource) else _read(message, types)
    return made if ttl is None and version is None else _with(made, types, ttl, version, ())


def type_url(message: object) -> str:
    """The type URL of a message, from its descriptor or from betterproto2's table. Raises NotAResource."""
    descriptor = getattr(type(message), "DESCRIPTOR", None)
    if descriptor is not None:
        return _SUBSETS.get(descriptor.full_name) or _PREFIX + str(descriptor.full_name)
    library: Any = sys.modules.get("betterproto2")  # whoever has such a message has imported it
    if library is not None and isinstance(message, library.Message):
        return _registered(type(message))
    raise NotAResource(
        f"{type(message).__name__} does not say what type of resource it is: use Resource.of(type_url, name, body)"
    )


def encoded(message: Serializable | HasBytes) -> bytes:
    """The bytes of a message; the same message gives the same bytes, for they are its version."""
    serialize = getattr(message, "SerializeToString", None)
    if serialize is not None and hasattr(message, "DESCRIPTOR"):
        return bytes(serialize(deterministic=True))
    return bytes(message)  # type: ignore[arg-type]  # HasBytes


def _registered(cls: type) -> str:
    """Every module that betterproto2's compiler has made holds the table of its package's types."""
    pool = getattr(sys.modules[cls.__module__], "default_message_pool", None)
    url = pool.type_to_url.get(cls) if pool is not None else None
    if url is None:
        raise NotAResource(f"{cls.__qualname__} is in no message pool: use Resource.of(type_url, name, body)")
    return str(url)


def _read(message: Serializable | HasBytes, types: TypeTable) -> Resource:
    url, body = type_url(message), encoded(message)
    if url not in types:
        raise NotAResource(f"{url.removeprefix(_PREFIX)} is no resource of xDS; those are {_names(types)}")
    kind = types.of(url)
    return Resource.of(kind, _name(kind, body), body)


def _checked(given: Resource, types: TypeTable) -> Resource:
    """A Resource of somebody's, of a type that may be told by its short name."""
    kind = types.find(given.type_url)
    check(kind, given.name, given.body, given.aliases)
    return given if given.type_url == kind.url else replace(given, type_url=kind.url)


def _with(
    made: Resource, types: TypeTable, ttl: float | None, version: str | None, aliases: tuple[str, ...]
) -> Resource:
    kind, ttl = types.of(made.type_url), made.ttl if ttl is None else ttl
    return Resource.of(kind, made.name, made.body, ttl=ttl, version=version, aliases=aliases or made.aliases)


def _name(kind: ResourceType, body: bytes) -> str:
    """What the message calls itself."""
    message = kind.url.rpartition(".")[2]
    if kind.name_field is None:
        raise NotAResource(f"a {message} does not say its name: use Resource.of({kind.short!r}, name, body)")
    name = wire.first(body, kind.name_field)
    if not isinstance(name, bytes) or not name:
        raise NotAResource(f"a {message} without a name: clients would have nothing to ask for")
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise NotAResource(f"a {message} is called {name!r}, which is no text") from None


def _names(types: TypeTable) -> str:
    return ", ".join(kind.url.rpartition(".")[2] for kind in types)
