"""Where a connection of a task may lead, from the address and the port that the task called.

Rule: what is not let through is refused for a reason that is told. This machine is reached by one address alone, HOST, which stands
for its 127.0.0.1; its others, and what is no address of a single machine, are refused, whatever policy a task has. A registered
place is reached whatever the policy says: whoever registered it has allowed it. Pure, and of the standard library only.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

HOST: Final = "169.254.88.1"
"""The address that host.tsunagu.internal has for tasks."""
LOOPBACK: Final = "127.0.0.1"
DOCKER_PORTS: Final = frozenset({2375, 2376})
"""Where a Docker daemon listens that was told to: who reaches it, is root."""
_LINK_LOCAL: Final = "169.254."
_MULTICAST: Final = 224
Place = tuple[str, int]


class Policy(StrEnum):
    """What a task's namespace lets it reach: everything, nothing, or what `admit` was told of."""

    ALLOW = "allow"
    DENY = "deny"
    NAMES = "names"


class Reason(StrEnum):
    """Why a connection is refused, or failed."""

    DENIED = "denied"  # by the policy: nothing outside
    NOT_NAMED = "not-named"  # by the policy: no admitted name has this address
    OWN_ADDRESS = "own-address"  # of this machine
    OWN_PORT = "own-port"  # of the mesh's own processes, or of a container engine, on this machine
    NO_ADDRESS = "no-address"  # loopback, link-local, multicast, unspecified
    UNREACHABLE = "unreachable"  # nobody answers there, or not in time
    TOO_MANY = "too-many"  # connections of this task, or of all


@dataclass
class Rights:
    """What one task may reach. `admitted`: address -> until when, on the monotonic clock."""

    policy: Policy = Policy.ALLOW
    admitted: dict[str, float] = field(default_factory=dict)

    def refusal(self, ip: str, now: float) -> Reason | None:
        """Return why the policy refuses the address; None when it does not."""
        if self.policy is Policy.DENY:
            return Reason.DENIED
        if self.policy is Policy.NAMES and self.admitted.get(ip, 0.0) < now:
            return Reason.NOT_NAMED
        return None


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of this machine: whether an address is one of its own, and whether the mesh itself listens at (address, port)."""

    owns: Callable[[str], bool]
    is_ours: Callable[[str, int], bool]


def lead(
    called: Place, rights: Rights, places: Mapping[Place, str], machine: Machine, now: float
) -> tuple[Place, None] | tuple[None, Reason]:
    """Return what is to be connected to, or why nothing is. `places`: (address, port) that tasks call -> host, as this machine sees it."""
    ip, port = called
    host = places.get(called)
    if host is None:
        if reason := rights.refusal(ip, now):
            return None, reason
        host = LOOPBACK if ip == HOST else ip
        if ip != HOST and (reason := _no_target(ip, machine)):
            return None, reason
    here = host.startswith("127.") or machine.owns(host)
    if here and (port in DOCKER_PORTS or machine.is_ours(host, port)):
        return None, Reason.OWN_PORT
    return (host, port), None


def _no_target(ip: str, machine: Machine) -> Reason | None:
    first = int(ip.partition(".")[0])
    if first in (0, 127) or first >= _MULTICAST or ip.startswith(_LINK_LOCAL):
        return Reason.NO_ADDRESS
    return Reason.OWN_ADDRESS if machine.owns(ip) else None


def owns(ip: str) -> bool:
    """Return whether the address is this machine's own: what is sent there is sent from there, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ip, 9))
        except OSError:
            return False  # no route leads there, so it is none of ours
        own: str = probe.getsockname()[0]
        return own == ip
