"""What somebody should know who looks at a mesh: that it cannot write what it learns, that a node is lost, that versions differ.

The one rule: notices go to standard error, and neither stop a command nor change what it prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.cli import output
from tsunagu.kit.version import __version__
from tsunagu.model.statuses import NodeState
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object


async def show(link: Link) -> None:
    """Print the notices of a mesh."""
    info = await link.inspector.Info(inspector_pb2.InfoRequest())
    nodes, _ = await link.registry.list("Node")
    for line in notices(info, nodes):
        output.notice(line)


def notices(info: inspector_pb2.InfoResponse, nodes: Iterable[Object], own: str = __version__) -> Iterator[str]:
    """Yield what is to be known; `own`: the version of this command."""
    if info.problem:
        yield f"{info.problem}; what is shown may be older than what is"
    if info.version != own:
        yield f"the control plane is tsunagu {info.version}, this command {own}; end the mesh and start it anew with one version"
    for obj in nodes:
        name, node = obj.meta.name, obj.node
        if node.state == NodeState.NOT_READY or node.reason:
            yield f"node {name} is {node.state}: {node.reason}"
        if node.version and node.version != info.version:
            yield f"the agent of node {name} is tsunagu {node.version}, the control plane {info.version}"
