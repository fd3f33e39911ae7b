"""The bootstrap file by which gRPC's own xDS clients find this mesh's control plane (gRFC A27).

The one rule: a gRPC client has a name of its own, never that of its task. A task's name belongs to its Envoy, and what the
one has acknowledged says nothing about the other. The token is in the node's metadata, because these clients cannot send
call metadata.
"""

from __future__ import annotations

import json
from typing import Any, Final

PREFIX: Final = "grpc/"
TOKEN: Final = "tsunagu.token"  # noqa: S105 - the token's key in the node's metadata, no secret
#: The environment variable that holds the path of the file.
VARIABLE: Final = "GRPC_XDS_BOOTSTRAP"


def client_name(namespace: str, client: str) -> str:
    """Return a client's name. `client`: the task (CLUSTER/ID) whose programs use it, or a word for those outside tasks."""
    return f"{PREFIX}{namespace}/{client}"


def parse(name: str) -> tuple[str, str] | None:
    """Return (namespace, client) of a gRPC client's name; None if the name is something else, such as a task's."""
    parts = name.split("/")
    if f"{parts[0]}/" != PREFIX or len(parts) not in (3, 4) or not all(parts):
        return None
    return parts[1], "/".join(parts[2:])


def bootstrap(name: str, token: str, xds_socket: str) -> dict[str, Any]:
    """Return the bootstrap as a JSON value. `xds_socket`: the socket's absolute path in the program's file system."""
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
    """Return the bootstrap as the text of a file. It contains the token: create the file with mode 0600."""
    return json.dumps(bootstrap(name, token, xds_socket), indent=1) + "\n"
