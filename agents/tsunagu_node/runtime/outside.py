"""What the node agent tells a runtime of places outside of the mesh, and asks it about them: a part of the runtime contract.

Rule: a runtime enforces, and decides nothing: which task may reach what, and which addresses a name has, it is told.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tsunagu_node.outside.relay.destinations import Policy


@dataclass(frozen=True, slots=True)
class OutsidePlace:
    """A place that is no task's and that tasks may call: what they send to `ip`:`port` is for `host`:`port` as the machine sees it."""

    ip: str
    port: int
    host: str


@dataclass(frozen=True, slots=True)
class RelayCounts:
    """What a relay that was started at `began` (seconds since the epoch) has counted by task, in the words of `outside.relay.process`."""

    began: float
    tasks: Mapping[str, Mapping[str, Any]]


class WayOut(Protocol):
    """What leaves the mesh from tasks of this runtime. A task's first policy is that of its `Network`."""

    @property
    def no_host(self) -> str:
        """Why no task reaches this machine's loopback, for people; most often empty."""
        ...

    async def run(self) -> None:
        """Do it until cancelled."""
        ...

    async def places(self, places: Collection[OutsidePlace]) -> None:
        """Let all tasks reach these, whatever their policies, and no others that were told before."""
        ...

    async def policies(self, policies: Mapping[str, Policy]) -> None:
        """Make these the policies of the running tasks (by their IDs): they are all that there are. Open connections go on."""
        ...

    async def admit(self, task: str, addresses: Collection[str], seconds: float) -> None:
        """Let a task whose policy is NAMES reach these addresses for so long from now on; before this returns it may."""
        ...

    async def dismiss(self, task: str, addresses: Collection[str]) -> None:
        """Let such a task reach these no more."""
        ...

    async def counts(self, *, places: bool = False) -> RelayCounts | None:
        """Return what left, and what was refused; with the `places`, or without. None while nobody knows."""
        ...
