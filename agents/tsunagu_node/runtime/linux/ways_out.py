"""The rules at the sandbox's bridge: what becomes of what tasks send to where no route of the sandbox leads.

The sandbox has no way out, so it is the kernel that decides before anything leaves: a registered place's address goes to the relay
(`outside.relay`), a task that may reach nothing is refused, one that may reach names is led to the addresses that were admitted for
them, all other TCP goes to the relay, and what is no TCP is refused. Rule: pure; a batch is applied whole, it changes no connection
that is open, and what was admitted stays. Refused is refused at once: a reset for TCP, "port unreachable" for the rest.
"""

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from tsunagu_node.outside.relay import knock
from tsunagu_node.runtime import nft_messages as nft
from tsunagu_node.runtime.contract import RuntimeFailed

_CHAIN, _KNOCK, _VERDICT, _TRIAL = "outside", "knock", "verdict", "trial"
_BEFORE_NAT: Final = -150
_PLACES, _DENIED, _NAMED, _ADMITTED = "places", "denied", "named", "admitted"


Key = tuple[str | int, ...]


class RulesRefused(RuntimeFailed):
    """The kernel did not take the rules. The message says what it lacks."""


@dataclass(frozen=True, slots=True)
class WaysOut:
    """`port`: the relay's at the bridge. `places`: (address, port) of registered places. `denied`, `named`: addresses of the tasks that may
    reach nothing, and of those that may reach what was admitted. `queue`: how this kernel has packets wait; None: not at all.
    """

    port: int
    places: frozenset[tuple[str, int]] = frozenset()
    denied: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    queue: Callable[[int], bytes] | None = None

    def batch(self) -> list[bytes]:
        """Return the messages that make these the rules; what was admitted before stays."""
        bodies = [nft.table(), nft.nat_chain(_CHAIN, nft.PREROUTING)]
        sets: tuple[tuple[str, tuple[int, ...], list[Key]], ...] = (
            (_PLACES, (nft.ADDRESS, nft.PORT), [*sorted(self.places)]),
            (_DENIED, (nft.ADDRESS,), [(one,) for one in sorted(self.denied)]),
            (_NAMED, (nft.ADDRESS,), [(one,) for one in sorted(self.named)]),
        )
        for number, (name, fields, keys) in enumerate(sets, 1):
            bodies += [nft.new_set(name, number, fields), nft.without_elements(name)]
            bodies += [nft.elements(name, keys)] if keys else []
        bodies += [nft.new_set(_ADMITTED, 4, (nft.ADDRESS, nft.ADDRESS), timed=True), nft.without_rules(_CHAIN)]
        return nft.batch([*bodies, *self._rules(), *self._knocking()])

    def _knocking(self) -> Iterable[nft.Body]:
        """Rules before the others: what these lead to the relay waits for its verdict (`outside.relay.knock`), and is answered as that says."""
        if self.queue is None:
            return []
        wait = self.queue(knock.QUEUE)
        waiting = (
            (nft.place_in(_PLACES), wait),
            (nft.source_in(_NAMED), nft.both_in(_ADMITTED), wait),
            (nft.source_in(_NAMED), nft.accept()),
            (nft.source_in(_DENIED), nft.accept()),
            (wait,),
        )
        first = (nft.protocol(nft.TCP), nft.first_of_connection(), nft.no_route())
        return [
            nft.filter_chain(_KNOCK, nft.PREROUTING, _BEFORE_NAT),
            nft.without_rules(_KNOCK),
            *(nft.rule(_KNOCK, *first, *expressions) for expressions in waiting),
            nft.filter_chain(_VERDICT, nft.PREROUTING, _BEFORE_NAT + 1),
            nft.without_rules(_VERDICT),
            nft.rule(_VERDICT, nft.protocol(nft.TCP), nft.marked(knock.RESET_MARK), nft.reset()),
            nft.rule(_VERDICT, nft.marked(knock.UNREACHABLE_MARK), nft.host_unreachable()),
        ]

    def _rules(self) -> Iterable[nft.Body]:
        tcp, relay = nft.protocol(nft.TCP), nft.redirect(self.port)
        table = (
            (tcp, nft.place_in(_PLACES), relay),
            (tcp, nft.source_in(_NAMED), nft.both_in(_ADMITTED), relay),
            (tcp, nft.source_in(_NAMED), nft.reset()),
            (tcp, nft.source_in(_DENIED), nft.reset()),
            (tcp, relay),
            (nft.unreachable(),),
        )
        return [nft.rule(_CHAIN, nft.no_route(), *expressions) for expressions in table]


def trial(queue: Callable[[int], bytes]) -> list[bytes]:
    """Return the messages that the kernel takes if it can have packets wait in this form: a rule that no packet meets."""
    chain = nft.filter_chain(_TRIAL, nft.PREROUTING, _BEFORE_NAT)
    return nft.batch(
        [
            nft.table(),
            chain,
            nft.rule(_TRIAL, nft.protocol(nft.TCP), nft.to_port(0), queue(knock.QUEUE)),
            nft.without_rules(_TRIAL),
        ]
    )


def admitted(task: str, addresses: Iterable[str], seconds: float) -> list[bytes]:
    """Return the messages by which the task with the address `task` may reach these for so long, from now on."""
    keys = [(task, one) for one in addresses]
    # An element that is there keeps its time when it is made again: so it is made, taken away, and made.
    return nft.batch(
        [
            nft.elements(_ADMITTED, keys, seconds),
            nft.without_elements(_ADMITTED, keys),
            nft.elements(_ADMITTED, keys, seconds),
        ]
    )


def dismissed(task: str, addresses: Collection[str]) -> list[bytes]:
    """Return the messages by which the task may reach these no more. They need not have been admitted."""
    keys = [(task, one) for one in addresses]
    return nft.batch([nft.elements(_ADMITTED, keys, 1), nft.without_elements(_ADMITTED, keys)])


def refused(code: int) -> RulesRefused:
    """Return the error that says what the kernel lacks; `code`: the errno of its refusal."""
    needed = "nf_tables, nft_redir, nft_reject_ipv4, nft_fib_ipv4 needed"
    return RulesRefused(f"the kernel refused the rules for what leaves the mesh: {os.strerror(code)} ({needed})")
