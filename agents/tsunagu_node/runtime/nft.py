"""The nat rules of a task, as one nfnetlink batch: no nft or iptables binary is needed, nor root.

Rule: pure; a batch is idempotent (the table is replaced) and applied whole or not at all. Constants are the kernel's:
linux/netfilter/nf_tables.h and nfnetlink.h. `netfilter` sends it.
"""

import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from tsunagu_node.runtime.contract import Capture, Redirect, RuntimeFailed

_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES: Final = 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6
_PREROUTING, _OUTPUT = 0, 3
_DSTNAT: Final = -100
_TABLE: Final = "tsunagu"
_NESTED: Final = 0x8000
_REGISTER: Final = 1
_L4PROTO: Final = 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


@dataclass(frozen=True, slots=True)
class Forward:
    """TCP that comes in for the address `ip`, at any port, goes to port `to` of whoever forwards."""

    ip: str
    to: int


#: A nat rule of a network namespace.
Rule: TypeAlias = Redirect | Capture | Forward


class NatRefused(RuntimeFailed):
    """The kernel did not take the nat rules. The message says what it lacks."""


def batch(rules: Iterable[Rule]) -> list[bytes]:
    """Return the messages that make `rules` the task's only ones, in order."""
    bodies = [
        (_NEWTABLE, _CREATE, _text(1, _TABLE)),
        (_DELTABLE, 0, _text(1, _TABLE)),
        (_NEWTABLE, _CREATE, _text(1, _TABLE)),
        (_NEWCHAIN, _CREATE, _chain("in", _PREROUTING)),
        (_NEWCHAIN, _CREATE, _chain("out", _OUTPUT)),
        *((_NEWRULE, _CREATE | _APPEND, _rule(rule)) for rule in rules),
    ]
    messages = [_message(_BATCH_BEGIN, _REQUEST, 0, _NFTABLES, b"")]
    messages += [
        _message((_NFTABLES << 8) | kind, _REQUEST | _ACK | flags, socket.AF_INET, 0, body)
        for kind, flags, body in bodies
    ]
    return [*messages, _message(_BATCH_END, _REQUEST, 0, _NFTABLES, b"")]


def refused(code: int) -> NatRefused:
    """Return the error that says what the kernel lacks; `code`: the errno of its refusal."""
    return NatRefused(f"the kernel refused the nat rules: {os.strerror(code)} (nf_tables, nft_redir needed)")


def _message(kind: int, flags: int, family: int, resource: int, body: bytes) -> bytes:
    head = struct.pack("=BBH", family, 0, socket.htons(resource))
    return struct.pack("=IHHII", 16 + len(head) + len(body), kind, flags, 0, 0) + head + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def _nested(kind: int, *inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(inner))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack(">I", number & 0xFFFFFFFF))


def _chain(name: str, hook: int) -> bytes:
    return _text(1, _TABLE) + _text(3, name) + _nested(4, _number(1, hook), _number(2, _DSTNAT)) + _text(7, "nat")


def _rule(rule: Rule) -> bytes:
    number = _PROTOCOLS[rule.protocol if isinstance(rule, Capture) else "tcp"]
    protocol = (_expression("meta", _number(1, _REGISTER), _number(2, _L4PROTO)), _equal(bytes([number])))
    redirect = (
        _expression("immediate", _number(1, _REGISTER), _nested(2, _attribute(1, struct.pack(">H", rule.to)))),
        _expression("redir", _number(1, _REGISTER)),
    )
    if isinstance(rule, Capture):
        chain, matches = "out", _to_network(rule)
    else:
        chain, matches = "in", _to_port(rule) if isinstance(rule, Redirect) else _to_address(rule)
    return _text(1, _TABLE) + _text(2, chain) + _nested(4, *protocol, *matches, *redirect)


def _to_port(rule: Redirect) -> tuple[bytes, ...]:
    return _load(_TRANSPORT_HEADER, 2, 2), _equal(struct.pack(">H", rule.port))


def _to_address(rule: Forward) -> tuple[bytes, ...]:
    return _load(_NETWORK_HEADER, 16, 4), _equal(socket.inet_aton(rule.ip))


def _to_network(rule: Capture) -> tuple[bytes, ...]:
    mask = (0xFFFFFFFF << (32 - rule.prefix)) & 0xFFFFFFFF
    masked = _expression(
        "bitwise",
        _number(1, _REGISTER),
        _number(2, _REGISTER),
        _number(3, 4),
        _nested(4, _attribute(1, struct.pack(">I", mask))),
        _nested(5, _attribute(1, bytes(4))),
    )
    return _load(_NETWORK_HEADER, 16, 4), masked, _equal(socket.inet_aton(rule.network))


def _load(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, _REGISTER), _number(2, base), _number(3, offset), _number(4, length))


def _equal(value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER), _number(2, 0), _nested(3, _attribute(1, value)))


def _expression(name: str, *attributes: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *attributes))
