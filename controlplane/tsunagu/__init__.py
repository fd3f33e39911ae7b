"""ECS Service Connect as open software, and the parts of it that others build on.

    import tsunagu

    server = tsunagu.XdsServer()                      # an xDS server of one's own: docs/library.md
    with tsunagu.testing.Mesh("shop.yaml") as mesh:   # a whole mesh in a test: docs/testing.md
        ...

Rule: importing this package imports nothing else; each name is imported when it is first used. pytest imports it in every
project that has tsunagu installed, and who wants the mesh does not pay for the xDS server.
"""

from typing import TYPE_CHECKING

from tsunagu.kit.lazy import getattr_of
from tsunagu.kit.version import __version__

if TYPE_CHECKING:
    from tsunagu import testing
    from tsunagu.serve.library.xds_server import (
        CDS,
        ECDS,
        EDS,
        LDS,
        RDS,
        RTDS,
        SDS,
        SRDS,
        VHDS,
        BadResource,
        BadTtl,
        CallMetadata,
        CannotListen,
        Change,
        Client,
        ClientStream,
        ClusterLoadAssignment,
        Event,
        Inconsistent,
        Lagged,
        Limits,
        MissingName,
        NameMismatch,
        NodeInfo,
        NotAResource,
        NotConverged,
        PermissionDenied,
        Problem,
        Proposal,
        Reference,
        Resource,
        ResourceType,
        Unauthenticated,
        UnknownType,
        UnreadableResources,
        Waits,
        XdsServer,
        dangling,
        dangling_clusters,
        everyone,
        no_dangling,
        node_id,
        refused_by_grpc,
        resource,
        resources_from,
    )

__all__ = [
    "CDS", "ECDS", "EDS", "LDS", "RDS", "RTDS", "SDS", "SRDS", "VHDS",
    "BadResource", "BadTtl", "CallMetadata", "CannotListen", "Change", "Client", "ClientStream",
    "ClusterLoadAssignment", "Event", "Inconsistent", "Lagged", "Limits", "MissingName", "NameMismatch", "NodeInfo",
    "NotAResource", "NotConverged", "PermissionDenied", "Problem", "Proposal", "Reference", "Resource",
    "ResourceType", "Unauthenticated", "UnknownType", "UnreadableResources", "Waits", "XdsServer", "__version__",
    "dangling", "dangling_clusters", "everyone", "no_dangling", "node_id", "refused_by_grpc", "resource",
    "resources_from", "testing",
]  # fmt: skip

if not TYPE_CHECKING:
    _LIBRARY = dict.fromkeys(__all__, "tsunagu.serve.library.xds_server")
    __getattr__ = getattr_of(__name__, _LIBRARY | {"testing": "tsunagu.testing"})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
