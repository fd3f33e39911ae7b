"""Which folders a node agent uses: the mesh's, which holds what all of the mesh share, and the node's own.

Rule: a mesh of one node has one folder for both. Where a mesh has several nodes on this machine, each has a folder of its own
in `nodes`, so that none of them takes what another one keeps for litter.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODES: Final = "nodes"


@dataclass(frozen=True, slots=True)
class Folders:
    """`mesh`: of the control plane's sockets, the key and all logs of processes. `node`: of this node's tasks, its lock, its
    API's socket, and the records of its processes.
    """

    mesh: Path
    node: Path

    @classmethod
    def of(cls, mesh: Path, name: str = "") -> "Folders":
        """Return those of the node `name` among several of the mesh in `mesh`; without a name, those of its only node."""
        return cls(mesh, mesh / NODES / name if name else mesh)

    @property
    def tasks(self) -> Path:
        """The folder of the folders of tasks."""
        return self.node / "tasks"

    @property
    def hosts(self) -> Path:
        """The folder of the keys and certificates with which this machine calls."""
        return self.node / "hosts"

    @property
    def logs(self) -> Path:
        """The folder of the logs of the mesh's own processes."""
        return self.mesh / "log"

    @property
    def socket(self) -> Path:
        """Where the NodeAgent service listens."""
        return self.node / "node.sock"

    @property
    def log(self) -> Path:
        """The node agent's log."""
        return self.logs / ("node.log" if self.node == self.mesh else f"node-{self.node.name}.log")

    def task(self, task_id: str) -> Path:
        return self.tasks / task_id
