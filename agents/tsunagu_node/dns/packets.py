"""DNS messages: what a query asks for, and the bytes of an answer. The codec is dnspython's.

Rule: pure, and total: any bytes give a Query, a refusal that can be sent, or nothing at all. A name in an answer is written as the
query has it (case randomisation), and an answer that does not fit says so (TC), so that it is asked for again over TCP.

Sources: RFC 1035, RFC 6891 (EDNS), RFC 8914 (extended errors), RFC 8482 (ANY).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tsunagu.mesh.discovery.records import Answer, Record

PLAIN: Final = 512
"""Bytes that a client takes over UDP which says nothing of it."""
PAYLOAD: Final = 1232
"""Bytes of the longest answer over UDP: what passes every network in one piece."""
LONGEST: Final = 65535
LONGEST_QUERY: Final = 4096
_HEAD: Final = 12
_QR: Final = 0x80
_TRANSFERS: Final = frozenset({dns.rdatatype.AXFR, dns.rdatatype.IXFR})


class Unanswerable(Exception):
    """Bytes that are no query to be answered. `reply`: the refusal to send; None: they are dropped."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__("no query that can be answered")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name`: without capitals and without a dot at its end. `payload`: bytes of an answer that the client takes."""

    name: str
    type: str
    payload: int
    message: dns.message.Message


def parse(raw: bytes) -> Query:
    """Return the query. Raises Unanswerable."""
    if len(raw) < _HEAD or raw[2] & _QR or len(raw) > LONGEST_QUERY:
        raise Unanswerable(None)
    if (raw[2] >> 3) & 0xF != dns.opcode.QUERY:
        raise Unanswerable(_bare(raw, dns.rcode.NOTIMP))
    try:
        message = dns.message.from_wire(raw)
    except dns.message.BadEDNS:
        raise Unanswerable(_bare(raw, dns.rcode.FORMERR)) from None
    except (dns.exception.DNSException, ValueError, KeyError, IndexError) as error:
        # What its parsers raise for nonsense that has the form of a record is not all of one family.
        raise Unanswerable(_bare(raw, dns.rcode.FORMERR)) from error
    if len(message.question) != 1:
        raise Unanswerable(_bare(raw, dns.rcode.FORMERR))
    if message.edns > 0:
        raise Unanswerable(_refusal(message, dns.rcode.BADVERS))
    question = message.question[0]
    if question.rdclass != dns.rdataclass.IN or question.rdtype in _TRANSFERS:
        raise Unanswerable(_refusal(message, dns.rcode.REFUSED))
    payload = min(max(message.payload, PLAIN), PAYLOAD) if message.edns >= 0 else PLAIN
    name = question.name.to_text(omit_final_dot=True).lower()
    return Query("" if name == "@" else name, dns.rdatatype.to_text(question.rdtype), payload, message)


def render(query: Query, answer: Answer, limit: int) -> bytes:
    """Return the answer in `limit` bytes at most."""
    reply = _reply(query.message)
    reply.flags |= dns.flags.AA
    reply.set_rcode(dns.rcode.NOERROR if answer.exists else dns.rcode.NXDOMAIN)
    reply.answer = list(_sets(answer.records))
    reply.authority = list(_sets([answer.soa] if answer.soa else []))
    reply.additional = list(_sets(answer.additional))
    return _within(reply, limit)


def failure(query: Query, words: str, limit: int, *, refused: bool = False) -> bytes:
    """Return SERVFAIL, or REFUSED, with the reason in words for a client that understands EDNS."""
    reply = _reply(query.message)
    reply.set_rcode(dns.rcode.REFUSED if refused else dns.rcode.SERVFAIL)
    if query.message.edns >= 0:
        reply.use_edns(0, 0, PAYLOAD, options=[dns.edns.EDEOption(dns.edns.EDECode.NO_REACHABLE_AUTHORITY, words)])
    return _within(reply, limit)


def shortened(raw: bytes, limit: int) -> bytes:
    """Return an answer of another server in `limit` bytes at most; one that it does not fit into is cut to its question."""
    if len(raw) <= limit:
        return raw
    try:
        message = dns.message.from_wire(raw)
    except dns.exception.DNSException:
        return _bare(raw, dns.rcode.SERVFAIL)
    return _within(message, limit)


def answers(raw: bytes, query: bytes) -> bool:
    """Return whether `raw` is an answer to `query`: its ID and its question."""
    if len(raw) < _HEAD or raw[:2] != query[:2] or not raw[2] & _QR:
        return False
    end = _question_end(query)
    return raw[4:6] == query[4:6] and raw[_HEAD:end].lower() == query[_HEAD:end].lower()


def _question_end(raw: bytes) -> int:
    at = _HEAD
    while at < len(raw) and raw[at]:
        at += raw[at] + 1
    return at + 5


def _reply(message: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(message, recursion_available=True, our_payload=PAYLOAD)
    reply.request_payload = 0  # the limit is the caller's
    return reply


def _within(reply: dns.message.Message, limit: int) -> bytes:
    try:
        return reply.to_wire(max_size=max(limit, PLAIN))
    except dns.exception.TooBig:
        reply.additional = []
    try:
        return reply.to_wire(max_size=max(limit, PLAIN))
    except dns.exception.TooBig:
        reply.flags |= dns.flags.TC
        reply.answer, reply.authority = [], []
    return reply.to_wire(max_size=LONGEST)


def _sets(records: Sequence[Record]) -> Iterator[dns.rrset.RRset]:
    for (name, kind), group in groupby(records, key=lambda record: (record.name, record.type)):
        ones = list(group)
        yield dns.rrset.from_text(_name(name), ones[0].ttl, "IN", kind, *(one.value for one in ones))


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def _refusal(message: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    reply = _reply(message)
    reply.set_rcode(code)
    return _within(reply, PLAIN)


def _bare(raw: bytes, code: dns.rcode.Rcode) -> bytes:
    """Return a refusal that repeats of a message what can be read of any: its ID, its opcode and whether it wants recursion."""
    return raw[:2] + bytes([_QR | (raw[2] & 0x79), 0x80 | int(code)]) + bytes(8)
