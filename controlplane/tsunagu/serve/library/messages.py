"""Anybody's messages as resources: official protobuf classes, betterproto2's (envoy_data_plane), or whatever has bytes.

Rule: what a message is and what it is called is read from the message itself, so that the two can never differ; and no
library is imported for it that the caller has not imported already.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, TypeAlias

from tsunagu.xds import wire
from tsunagu.xds.resources import EDS, TYPES, Resource

_PREFIX = "type.googleapis.com/"
#: Our wire-compatible subset of Envoy's own, for those who put endpoints often: thirty times faster than betterproto2.
_OWN = {"tsunagu.v1.xds.ClusterLoadAssignment": EDS}


class Serializable(Protocol):
    """A message of google.protobuf."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class HasBytes(Protocol):
    """A message of betterproto2, as those of envoy_data_plane are."""

    def __bytes__(self) -> bytes: ...


Message: TypeAlias = Resource | Serializable | HasBytes


class NotAResource(TypeError):
    """What was given is no resource of xDS, or says too little of itself."""


def resource(message: Message, *, ttl: float | None = None) -> Resource:
    """The message as a Resource, named by its own field 1; with a time to live, in seconds, if one is given. A Resource is
    returned as it is if none is. Raises NotAResource, BadTtl.
    """
    if isinstance(message, Resource):
        return message if ttl is None else Resource.of(message.type_url, message.name, message.body, ttl=ttl)
    url, body = type_url(message), encoded(message)
    if url not in TYPES:
        raise NotAResource(f"{url.removeprefix(_PREFIX)} is no resource of xDS; those are {_known()}")
    name = wire.first(body, 1)
    if not isinstance(name, bytes) or not name:
        raise NotAResource(f"a {url.rpartition('.')[2]} without a name: clients would have nothing to ask for")
    return Resource.of(url, name.decode(), body, ttl=ttl)


def type_url(message: object) -> str:
    """The type URL of a message, from its descriptor or from betterproto2's table. Raises NotAResource."""
    descriptor = getattr(type(message), "DESCRIPTOR", None)
    if descriptor is not None:
        return _OWN.get(descriptor.full_name) or _PREFIX + str(descriptor.full_name)
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


def _known() -> str:
    return ", ".join(url.rpartition(".")[2] for url in TYPES)
