"""How App Mesh's names become names of ours.

The one rule: a name is changed only where ours take fewer characters, and two names never become one silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tsunagu.appmesh.index import MeshIndex

_MOST: Final = 64


def slug(name: str) -> str:
    """The name in the characters of a port name: lower case, digits, `_`, `-`; at most 64 of them."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_MOST]


def port_name(mesh: MeshIndex, node: str, port: int) -> str:
    """The name of a virtual node's port, which is its discovery name, too: the node's, as long as it has one port."""
    return slug(node) if len(mesh.ports(node)) == 1 else f"{slug(node)[:58]}-{port}"
