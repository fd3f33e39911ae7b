"""The nat rules of a task, as one nfnetlink batch: no nft or iptables binary is needed, nor root.

Rule: pure; a batch is idempotent (the table is replaced) and applied whole or not at all. `netfilter` sends it.
"""

import os
import socket
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Final, TypeAlias

from tsunagu_node.runtime import nft_messages as nft
from tsunagu_node.runtime.contract import Capture, Redirect, RuntimeFailed

_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_IN, _OUT = "in", "out"


#: A nat rule of a task's network. Of several that match the first counts.
Rule: TypeAlias = Redirect | Capture


class NatRefused(RuntimeFailed):
    """The kernel did not take the nat rules. The message says what it lacks."""


def batch(rules: Iterable[Rule]) -> list[bytes]:
    """Return the messages that make `rules` the task's only ones, in order."""
    return nft.batch(
        [
            nft.table(),
            nft.without_table(),
            nft.table(),
            nft.nat_chain(_IN, nft.PREROUTING),
            nft.nat_chain(_OUT, nft.OUTPUT),
            *map(_body, rules),
        ]
    )


def refused(code: int) -> NatRefused:
    """Return the error that says what the kernel lacks; `code`: the errno of its refusal."""
    return NatRefused(f"the kernel refused the nat rules: {os.strerror(code)} (nf_tables, nft_redir needed)")


def _body(rule: Rule) -> nft.Body:
    if isinstance(rule, Redirect):
        return nft.rule(_IN, nft.protocol(nft.TCP), nft.to_port(rule.port), nft.redirect(rule.to))
    network = IPv4Network((rule.network, rule.prefix))
    return nft.rule(_OUT, nft.protocol(_PROTOCOLS[rule.protocol]), nft.to_network(network), nft.redirect(rule.to))
