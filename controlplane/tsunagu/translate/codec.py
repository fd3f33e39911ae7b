"""Encodes the Envoy messages that translation builds, and counts them.

The one rule: they are encoded here and nowhere else, by `wire`, which leaves out betterproto2's validation of every message
at every level. Tests validate the same messages, and real Envoys load the golden files. A message that comes from somebody
else (a library user's resource) is encoded by betterproto2 itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.message_pool import default_message_pool

from tsunagu.translate import wire
from tsunagu.xds.resources import Resource

if TYPE_CHECKING:
    import betterproto2


def pack(message: betterproto2.Message) -> Any:
    """Return the message as an Any, encoded."""
    return Any(type_url=default_message_pool.type_to_url[type(message)], value=wire.encode(message))


class Codec:
    """Makes Resources. `encoded` counts them by type URL: tests of what a change costs look at it."""

    def __init__(self) -> None:
        self.encoded: Counter[str] = Counter()

    def resource(self, type_url: str, name: str, message: betterproto2.Message, *, born: int = 0) -> Resource:
        """Encode an envoy_data_plane message as a Resource; its version is the hash of the bytes."""
        return self.raw(type_url, name, wire.encode(message), born=born)

    def raw(self, type_url: str, name: str, body: bytes, *, born: int = 0) -> Resource:
        """Make a Resource of bytes that are already encoded. `born`: as in Resource."""
        self.encoded[type_url] += 1
        return Resource.of(type_url, name, body).since(born)
