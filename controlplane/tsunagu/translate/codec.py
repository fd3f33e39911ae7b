"""The one place that turns Envoy's messages into bytes, and counts it.

The one rule: what translation builds is encoded by `wire`, without betterproto2's validation of every message at every
level (tests validate the same messages, and Envoy is shown the golden files); everybody else's messages are encoded as
the library does it.
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
    """The message as an Any, encoded now."""
    return Any(type_url=default_message_pool.type_to_url[type(message)], value=wire.encode(message))


class Codec:
    """Encodes, and counts what it has encoded (`encoded`: type URL -> times), which is what tests of cost look at."""

    def __init__(self) -> None:
        self.encoded: Counter[str] = Counter()

    def resource(self, type_url: str, name: str, message: betterproto2.Message) -> Resource:
        """An envoy_data_plane message as a Resource; its version is the hash of its bytes."""
        return self.raw(type_url, name, wire.encode(message))

    def raw(self, type_url: str, name: str, body: bytes) -> Resource:
        """Bytes that somebody else has encoded, as a Resource."""
        self.encoded[type_url] += 1
        return Resource.of(type_url, name, body)
