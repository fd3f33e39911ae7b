"""What the programs of a task need to be gRPC's own clients of the mesh: a bootstrap file, and a variable that names it.

Rule: the file is made before any container starts and is the same for all of them. Its token is not the proxy's: what a
program has accepted must not count as its Envoy's (see `tsunagu.kit.grpc_bootstrap`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tsunagu.kit import grpc_bootstrap, tokens
from tsunagu_node.task.spec import TaskSpec

FILE: Final = "grpc-bootstrap.json"


def write(spec: TaskSpec, directory: Path, key: bytes, xds_socket: Path) -> None:
    """Into the task's directory; nothing for a task that has no proxy, or no containers."""
    if not _wanted(spec):
        return
    name = grpc_bootstrap.client_name(spec.namespace, spec.name)
    text = grpc_bootstrap.render(name, tokens.mint(key, name), str(xds_socket))
    fd = os.open(directory / FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)


def environment(spec: TaskSpec, directory: Path) -> Mapping[str, str]:
    """What containers start with, unless their own definition says otherwise."""
    return {grpc_bootstrap.VARIABLE: str(directory / FILE)} if _wanted(spec) else {}


def _wanted(spec: TaskSpec) -> bool:
    return spec.has_proxy and not spec.gateway
