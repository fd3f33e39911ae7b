"""The parts of an nfnetlink batch: messages that make tables, chains, sets and rules, and the expressions of rules.

Rule: pure; what a part means stands beside it, and the numbers are the kernel's: linux/netfilter/nf_tables.h and nfnetlink.h. All of it
is for IPv4, in the table TABLE. Standard library only.
"""

import os
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from typing import Final

TABLE: Final = "tsunagu"
PREROUTING, OUTPUT = 0, 3
TCP: Final = socket.IPPROTO_TCP
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES: Final = 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _DELRULE, _NEWSET, _NEWSETELEM, _DELSETELEM = 0, 2, 3, 6, 8, 9, 12, 14
_DSTNAT: Final = -100
_NESTED: Final = 0x8000
_REGISTER: Final = 1
_VERDICT: Final = 0  # the register that decides
_ACCEPT: Final = 1
_FIRST, _SECOND = 8, 9  # registers of four bytes each, which a lookup reads as one
_EQUAL, _UNEQUAL = 0, 1
_L4PROTO: Final = 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_SOURCE, _DESTINATION = 12, 16  # where an address stands in the header
_TIMED: Final = 0x10
ADDRESS, PORT = 7, 13
"""What a field of a set is: nft's own numbers, which the kernel keeps for those who list."""
_BY_UNREACHABLE, _BY_RESET = 0, 1
_HOST_UNREACHABLE, _PORT_UNREACHABLE = 1, 3
_TCP_FLAGS: Final = 13  # where they stand in the header
_SYN, _TCP_ACK = 0x02, 0x10
_META_MARK: Final = 3
_BYPASS: Final = 1
_FIB_OIF, _FIB_TYPE, _FIB_DESTINATION = 1, 3, 2
_LOCAL: Final = 2  # RTN_LOCAL
Body = tuple[int, int, bytes]  # kind, flags, body of a message


def batch(bodies: Iterable[Body]) -> list[bytes]:
    """Return the messages, in order, that the kernel takes whole or not at all."""
    messages = [_message(_BATCH_BEGIN, _REQUEST, 0, _NFTABLES, b"")]
    messages += [
        _message((_NFTABLES << 8) | kind, _REQUEST | _ACK | flags, socket.AF_INET, 0, body)
        for kind, flags, body in bodies
    ]
    return [*messages, _message(_BATCH_END, _REQUEST, 0, _NFTABLES, b"")]


# -- messages ----------------------------------------------------------------------------------------------------------


def table() -> Body:
    """The table; it is no error when it is there."""
    return _NEWTABLE, _CREATE, _text(1, TABLE)


def without_table() -> Body:
    """Take the table away with all that is in it."""
    return _DELTABLE, 0, _text(1, TABLE)


def nat_chain(name: str, hook: int, priority: int = _DSTNAT) -> Body:
    """A chain that sees the first packet of each connection at the hook; it is no error when it is there. A packet that a chain of a
    lower priority has led somewhere does not come to it.
    """
    hooked = _nested(4, _number(1, hook), _number(2, priority))
    return _NEWCHAIN, _CREATE, _text(1, TABLE) + _text(3, name) + hooked + _text(7, "nat")


def filter_chain(name: str, hook: int, priority: int) -> Body:
    """A chain that sees every packet at the hook; it is no error when it is there."""
    hooked = _nested(4, _number(1, hook), _number(2, priority))
    return _NEWCHAIN, _CREATE, _text(1, TABLE) + _text(3, name) + hooked + _text(7, "filter")


def without_rules(chain: str) -> Body:
    """Take all rules of the chain away."""
    return _DELRULE, 0, _text(1, TABLE) + _text(2, chain)


def rule(chain: str, *expressions: bytes) -> Body:
    """A rule at the end of the chain."""
    return _NEWRULE, _CREATE | _APPEND, _text(1, TABLE) + _text(2, chain) + _nested(4, *expressions)


def new_set(name: str, number: int, fields: Sequence[int], *, timed: bool = False) -> Body:
    """A set of such fields in a row, of ADDRESS and PORT; of a timed one each element ends at its time. `number` is its own in the batch."""
    kind = 0
    for field in fields:
        kind = kind << 6 | field
    flags = _number(3, _TIMED) if timed else b""
    body = (
        _text(1, TABLE) + _text(2, name) + flags + _number(4, kind) + _number(5, 4 * len(fields)) + _number(10, number)
    )
    return _NEWSET, _CREATE, body


def elements(name: str, keys: Iterable[Sequence[str | int]], seconds: float | None = None) -> Body:
    """Elements of a set, each of as many addresses and ports as it has fields; those of a timed set end in `seconds`."""
    times = b"" if seconds is None else _attribute(4, struct.pack(">Q", int(seconds * 1000)))
    return _NEWSETELEM, _CREATE, _text(1, TABLE) + _text(2, name) + _elements(keys, times)


def without_elements(name: str, keys: Iterable[Sequence[str | int]] = ()) -> Body:
    """Take these elements out of a set; none given: all."""
    found = _elements(keys, b"")
    return _DELSETELEM, 0, _text(1, TABLE) + _text(2, name) + (found if len(found) > 4 else b"")


def _elements(keys: Iterable[Sequence[str | int]], more: bytes) -> bytes:
    raw = (b"".join(map(_field, key)) for key in keys)
    return _nested(3, *(_nested(1, _nested(1, _attribute(1, key)), more) for key in raw))


def _field(value: str | int) -> bytes:
    """Return an address, or a port, as a set has it."""
    return socket.inet_aton(value) if isinstance(value, str) else struct.pack(">Hxx", value)


# -- expressions -------------------------------------------------------------------------------------------------------


def protocol(number: int) -> bytes:
    """It is of this protocol."""
    return _expression("meta", _number(1, _REGISTER), _number(2, _L4PROTO)) + _compare(bytes([number]))


def to_port(port: int) -> bytes:
    """It is for this port."""
    return _load(_TRANSPORT_HEADER, 2, 2) + _compare(struct.pack(">H", port))


def to_network(network: IPv4Network, *, within: bool = True) -> bytes:
    """It is for an address of the network; with `within` false: for one that is not."""
    masked = _expression(
        "bitwise",
        _number(1, _REGISTER),
        _number(2, _REGISTER),
        _number(3, 4),
        _nested(4, _attribute(1, network.netmask.packed)),
        _nested(5, _attribute(1, bytes(4))),
    )
    how = _EQUAL if within else _UNEQUAL
    return _load(_NETWORK_HEADER, _DESTINATION, 4) + masked + _compare(network.network_address.packed, how)


def first_of_connection() -> bytes:
    """It is TCP's first packet of a connection: SYN without ACK."""
    flags = _load(_TRANSPORT_HEADER, _TCP_FLAGS, 1)
    masked = _expression(
        "bitwise",
        _number(1, _REGISTER),
        _number(2, _REGISTER),
        _number(3, 1),
        _nested(4, _attribute(1, bytes([_SYN | _TCP_ACK]))),
        _nested(5, _attribute(1, bytes(1))),
    )
    return flags + masked + _compare(bytes([_SYN]))


def marked(mark: int) -> bytes:
    """It has this mark."""
    loaded = _expression("meta", _number(1, _REGISTER), _number(2, _META_MARK))
    return loaded + _compare(struct.pack("=I", mark))


def no_route() -> bytes:
    """No route leads to where it is for, which is not here either: of a local address the kernel tells no interface."""
    device = _expression("fib", _number(1, _REGISTER), _number(2, _FIB_OIF), _number(3, _FIB_DESTINATION))
    kind = _expression("fib", _number(1, _REGISTER), _number(2, _FIB_TYPE), _number(3, _FIB_DESTINATION))
    return device + _compare(bytes(4)) + kind + _compare(struct.pack("=I", _LOCAL), _UNEQUAL)


def place_in(name: str) -> bytes:
    """The address and the port that it is for are, together, in the set."""
    address = _load(_NETWORK_HEADER, _DESTINATION, 4, _FIRST)
    return address + _load(_TRANSPORT_HEADER, 2, 2, _SECOND) + _lookup(name, _FIRST)


def source_in(name: str) -> bytes:
    """The address that it is from is in the set."""
    return _load(_NETWORK_HEADER, _SOURCE, 4) + _lookup(name, _REGISTER)


def both_in(name: str) -> bytes:
    """The address that it is from and the one that it is for are, together, in the set."""
    source = _load(_NETWORK_HEADER, _SOURCE, 4, _FIRST)
    return source + _load(_NETWORK_HEADER, _DESTINATION, 4, _SECOND) + _lookup(name, _FIRST)


def redirect(port: int) -> bytes:
    """It goes to this port of whoever has the rule."""
    loaded = _expression("immediate", _number(1, _REGISTER), _nested(2, _attribute(1, struct.pack(">H", port))))
    return loaded + _expression("redir", _number(1, _REGISTER))


def accept() -> bytes:
    """It goes where it is for."""
    return _expression("immediate", _number(1, _VERDICT), _nested(2, _nested(2, _number(1, _ACCEPT))))


def reset() -> bytes:
    """TCP is answered with a reset: the caller is refused at once."""
    return _expression("reject", _number(1, _BY_RESET), _attribute(2, bytes([0])))


def queue(number: int) -> bytes:
    """It waits in this queue for a verdict; while nobody reads that, it passes."""
    numbers = (_attribute(kind, struct.pack(">H", value)) for kind, value in ((1, number), (2, 1), (3, _BYPASS)))
    return _expression("queue", *numbers)


def queue_by_target(number: int) -> bytes:
    """The same as `queue`, for kernels that have only the older form."""
    info = struct.pack("=HHHxx", number, 1, _BYPASS)  # xt_NFQ_info_v3, aligned
    return _expression("target", _text(1, "NFQUEUE"), _number(2, 3), _attribute(3, info))


def host_unreachable() -> bytes:
    """It is answered with "host unreachable"."""
    return _expression("reject", _number(1, _BY_UNREACHABLE), _attribute(2, bytes([_HOST_UNREACHABLE])))


def unreachable() -> bytes:
    """It is answered with "port unreachable"."""
    return _expression("reject", _number(1, _BY_UNREACHABLE), _attribute(2, bytes([_PORT_UNREACHABLE])))


def _load(base: int, offset: int, length: int, register: int = _REGISTER) -> bytes:
    return _expression("payload", _number(1, register), _number(2, base), _number(3, offset), _number(4, length))


def _compare(value: bytes, how: int = _EQUAL) -> bytes:
    return _expression("cmp", _number(1, _REGISTER), _number(2, how), _nested(3, _attribute(1, value)))


def _lookup(name: str, register: int) -> bytes:
    return _expression("lookup", _text(1, name), _number(2, register))


def _expression(name: str, *attributes: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *attributes))


# -- bytes -------------------------------------------------------------------------------------------------------------


def _message(kind: int, flags: int, family: int, resource: int, body: bytes) -> bytes:
    head = struct.pack("=BBH", family, 0, socket.htons(resource))
    return struct.pack("=IHHII", 16 + len(head) + len(body), kind, flags, 0, 0) + head + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def _nested(kind: int, *inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(inner))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, os.fsencode(text) + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack(">I", number & 0xFFFFFFFF))
