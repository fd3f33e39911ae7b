"""The bootstrap file with which programs of a task are gRPC clients of the mesh, and the variable that names it.

Rule: the file is written before any container starts and is the same for all of them. Its token is not the proxy's, since
what a program ACKs must not count as an ACK of the task's Envoy (see `tsunagu.kit.grpc_bootstrap`).
"""

from collections.abc import Mapping
from typing import Final

from tsunagu.kit import grpc_bootstrap, tokens
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.spec import TaskSpec

FILE: Final = "grpc-bootstrap.json"


def write(spec: TaskSpec, task: RunningTask, key: bytes, xds_socket: str) -> None:
    """Write the bootstrap file into `task`; none for a task that has no proxy, or no containers. Raises OSError."""
    if not _wanted(spec):
        return
    name = grpc_bootstrap.client_name(spec.namespace, spec.name)
    task.write_config(FILE, grpc_bootstrap.render(name, tokens.mint(key, name), xds_socket))


def environment(spec: TaskSpec, task: RunningTask) -> Mapping[str, str]:
    """Return what containers start with, unless their own definition says otherwise."""
    return {grpc_bootstrap.VARIABLE: task.config_path(FILE)} if _wanted(spec) else {}


def _wanted(spec: TaskSpec) -> bool:
    return spec.has_proxy and not spec.gateway
