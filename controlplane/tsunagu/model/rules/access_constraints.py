"""The values that single fields of an AccessPolicy may have: rows of the tables in ``constraints``.

The one rule: as in ``traffic_constraints``; the limits of lists are ours, so that one policy stays readable.
"""

from __future__ import annotations

from typing import Final

#: The only values of a text.
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "AccessPolicy.mode": ("enforce", "audit"),
    "AccessRequest.method": ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
}

#: How many elements a list may have.
LENGTHS: Final[dict[str, int]] = {
    "AccessPolicy.allow": 100,
    "AccessRule.from": 1000,
    "AccessRule.requests": 100,
    "AccessTarget.ports": 100,
}

#: Fields that must be there.
MUST: Final[dict[str, tuple[str, ...]]] = {
    "AccessPolicy": ("to",),
    "AccessTarget": ("service",),
    "AccessRule": ("from",),
}

#: What to do about a missing field.
MISSING: Final = {"AccessRule.from": "say who may call; anyone: true is every member of the mesh"}
