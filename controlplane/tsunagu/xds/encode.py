"""Responses, assembled from entries that were encoded once for all streams.

Rule: only the few bytes that differ between streams (nonce, version, removals) are encoded here; protobuf allows the
fields in any order (docs/protocol.md 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds import wire
from tsunagu.xds.resources import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPE_FIELD = {url: wire.text(4, url) for url in TYPES}


def identifier_field(number: int, identifier: str) -> bytes:
    """Return ControlPlane{1: identifier} as field `number` of a response (SotW 6, delta 7)."""
    return wire.delimited(number, wire.text(1, identifier)) if identifier else b""


def response(type_url: str, entries: tuple[bytes, ...], version: str, nonce: str, tail: bytes) -> bytes:
    """Return a response of either variant, which number these fields alike: 1 version_info or system_version_info,
    2 resources, 4 type_url, 5 nonce. `entries`: encoded fields; `tail`: what every response of the stream ends in.
    """
    url = _TYPE_FIELD.get(type_url) or wire.text(4, type_url)
    return b"".join((*entries, wire.text(1, version), url, wire.text(5, nonce), tail))


def removed_field(names: Iterable[str]) -> bytes:
    """Return DeltaDiscoveryResponse{6: removed_resources}."""
    return b"".join([wire.text(6, name) for name in names])


def unresolved_entries(names: Iterable[str]) -> bytes:
    """Return entries Resource{3: name, 4: aliases} without a resource: nobody has these (docs/protocol.md 15). An entry
    is field 2 of a DeltaDiscoveryResponse.
    """
    return b"".join([wire.delimited(2, wire.text(3, name) + wire.text(4, name)) for name in names])
