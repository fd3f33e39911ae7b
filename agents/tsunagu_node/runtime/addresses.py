"""Addresses of tasks. Rule: a returned address rests until every other was used, so that a caller with old endpoints
reaches nobody rather than another task. Pure.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from tsunagu_node.runtime.contract import RuntimeFailed

SANDBOX: Final = "10.88.0.0/16"
"""The addresses of the linux runtime's tasks."""


class AddressesExhausted(RuntimeFailed):
    """Every address of the network is in use. Only the task that needs one fails."""


class AddressPool:
    """Hands out the hosts of `network` in turn, from the one after `last`; the first is the bridge's own."""

    def __init__(self, network: IPv4Network, used: Iterable[str] = (), last: str | None = None) -> None:
        self.network = network
        self._used = {int(IPv4Address(ip)) for ip in used}
        self._last = int(IPv4Address(last)) if last else int(network[1])

    def take(self) -> str:
        """Return the next free address. Raises AddressesExhausted."""
        first, count = int(self.network[2]), self.network.num_addresses - 3
        for step in range(1, count + 1):
            candidate = first + (self._last - first + step) % count
            if candidate not in self._used:
                self._used.add(candidate)
                self._last = candidate
                return str(IPv4Address(candidate))
        raise AddressesExhausted(f"all {count} addresses of {self.network} are in use")

    def give_back(self, ip: str) -> None:
        """Let `ip` be used again, after all others."""
        self._used.discard(int(IPv4Address(ip)))

    @property
    def last(self) -> str:
        """The address that was handed out last."""
        return str(IPv4Address(self._last))
