"""Addresses of tasks. Rule: one that was given back rests until every other has had its turn, so that a caller with old
endpoints meets nobody rather than a stranger. Pure.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from tsunagu_node.runtime.contract import RuntimeFailed


class AddressesExhausted(RuntimeFailed):
    """Every address of the network is in use. The task's failure, not its node agent's."""


class AddressPool:
    """Hands out the hosts of `network` in turn; the first one is the bridge's own. `last`: where to go on from."""

    def __init__(self, network: IPv4Network, used: Iterable[str] = (), last: str | None = None) -> None:
        self.network = network
        self._used = {int(IPv4Address(ip)) for ip in used}
        self._last = int(IPv4Address(last)) if last else int(network[1])

    def take(self) -> str:
        """The next free address. Raises AddressesExhausted."""
        first, count = int(self.network[2]), self.network.num_addresses - 3
        for step in range(1, count + 1):
            candidate = first + (self._last - first + step) % count
            if candidate not in self._used:
                self._used.add(candidate)
                self._last = candidate
                return str(IPv4Address(candidate))
        raise AddressesExhausted(f"all {count} addresses of {self.network} are in use")

    def give_back(self, ip: str) -> None:
        self._used.discard(int(IPv4Address(ip)))

    @property
    def last(self) -> str:
        """The address that was handed out last."""
        return str(IPv4Address(self._last))
