"""What a gRPC program needs to find this mesh's control plane: the bootstrap file of gRPC's own xDS clients (gRFC A27).

Rule: a program is known by a name of its own, never by that of a task: a task's name is its Envoy's, and what one of
them has accepted says nothing of the other. The token stands in the node's metadata, for these clients can send no
metadata of calls.
"""

from __future__ import annotations

import json
from typing import Any, Final

PREFIX: Final = "grpc/"
TOKEN: Final = "tsunagu.token"  # noqa: S105 - the key in the node's metadata under which it stands
#: The environment variable by which a program is told where the file is.
VARIABLE: Final = "GRPC_XDS_BOOTSTRAP"


def client_name(namespace: str, client: str) -> str:
    """The name that a token is minted for. `client`: a task (CLUSTER/ID) whose programs it is for, or any word."""
    return f"{PREFIX}{namespace}/{client}"


def parse(name: str) -> tuple[str, str] | None:
    """(namespace, client) of such a name; None for a task's own, which has two parts."""
    parts = name.split("/")
    if f"{parts[0]}/" != PREFIX or len(parts) not in (3, 4) or not all(parts):
        return None
    return parts[1], "/".join(parts[2:])


def bootstrap(name: str, token: str, xds_socket: str) -> dict[str, Any]:
    """The bootstrap as a JSON value. `xds_socket`: absolute path as the program sees it."""
    return {
        "xds_servers": [
            {
                "server_uri": f"unix:{xds_socket}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": name, "cluster": "grpc", "metadata": {TOKEN: token}},
    }


def render(name: str, token: str, xds_socket: str) -> str:
    """`bootstrap` as the text of a file. It holds the token: keep the file 0600."""
    return json.dumps(bootstrap(name, token, xds_socket), indent=1) + "\n"
