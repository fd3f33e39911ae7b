"""DNS messages: what is asked, how it is answered, and that nonsense is refused or dropped."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsunagu.mesh.discovery.records import Answer, Record, Zone, soa
from tsunagu_node.dns import packets

NAME = "users.corp.internal"


def query(name: str = NAME, kind: str = "A", **more):
    return dns.message.make_query(name, kind, **more)


def addresses(count: int) -> Answer:
    return Answer(exists=True, records=[Record(NAME, "A", 10, f"10.88.0.{number}") for number in range(1, count + 1)])


def rendered(message, found: Answer, limit: int | None = None):
    parsed = packets.parse(message.to_wire())
    return dns.message.from_wire(packets.render(parsed, found, limit or parsed.payload))


def test_a_query_is_a_name_without_capitals_and_a_type():
    parsed = packets.parse(query("uSeRs.CORP.internal", "SRV").to_wire())
    assert (parsed.name, parsed.type, parsed.payload) == (NAME, "SRV", 512)


def test_an_answer_has_the_query_s_id_and_its_spelling():
    asked = query("uSeRs.CORP.internal")
    reply = rendered(asked, addresses(2))
    assert reply.id == asked.id
    assert reply.question[0].name.to_text() == "uSeRs.CORP.internal."
    assert {one.address for one in reply.answer[0]} == {"10.88.0.1", "10.88.0.2"}
    assert reply.flags & dns.flags.AA
    assert reply.flags & dns.flags.RA


def test_without_records_an_answer_has_the_soa():
    reply = rendered(query(), Answer(exists=False, soa=soa(Zone("corp.internal"))))
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_an_answer_that_does_not_fit_says_so_and_what_is_only_beside_it_goes_first():
    many = addresses(60)
    short = rendered(query(), many)
    assert (bool(short.flags & dns.flags.TC), short.answer) == (True, [])
    assert len(rendered(query(), many, packets.LONGEST).answer[0]) == 60
    beside = Answer(exists=True, records=addresses(8).records, additional=addresses(60).records)
    reply = rendered(query(), beside)
    assert (bool(reply.flags & dns.flags.TC), len(reply.answer[0]), reply.additional) == (False, 8, [])


@pytest.mark.parametrize(("payload", "limit"), [(100, 512), (800, 800), (4096, 1232), (65535, 1232)])
def test_a_client_says_how_much_it_takes_within_bounds(payload, limit):
    assert packets.parse(query(use_edns=0, payload=payload).to_wire()).payload == limit


def test_a_failure_says_why_to_those_who_understand_it():
    parsed = packets.parse(query(use_edns=0).to_wire())
    reply = dns.message.from_wire(packets.failure(parsed, "tasks reach nobody", 512))
    assert reply.rcode() == dns.rcode.SERVFAIL
    (option,) = [one for one in reply.options if isinstance(one, dns.edns.EDEOption)]
    assert option.text == "tasks reach nobody"
    plain = dns.message.from_wire(packets.failure(packets.parse(query().to_wire()), "no", 512, refused=True))
    assert (plain.rcode(), plain.edns) == (dns.rcode.REFUSED, -1)


def changed(**fields) -> bytes:
    message = query(use_edns=0)
    for name, value in fields.items():
        setattr(message, name, value)
    return message.to_wire()


def rcode_of(raw: bytes) -> str:
    with pytest.raises(packets.Unanswerable) as raised:
        packets.parse(raw)
    return dns.rcode.to_text(
        dns.message.from_wire(raised.value.reply, question_only=True).rcode() if raised.value.reply else 0
    )


def test_what_is_no_question_is_refused_by_its_fault():
    assert rcode_of(b"\x12\x34" + bytes([5 << 3]) + bytes(9)) == "NOTIMP"  # an UPDATE
    assert rcode_of(b"\x12\x34\x01\x00" + bytes(8)) == "FORMERR"  # without a question
    assert rcode_of(query(kind="AXFR").to_wire()) == "REFUSED"
    assert rcode_of(query(rdclass="CH", kind="TXT").to_wire()) == "REFUSED"
    assert rcode_of(query().to_wire() + b"more") == "FORMERR"


def test_answers_and_scraps_are_dropped():
    for raw in (b"", b"\x12", bytes(11), dns.message.make_response(query()).to_wire(), bytes(5000)):
        with pytest.raises(packets.Unanswerable) as raised:
            packets.parse(raw)
        assert raised.value.reply is None


MESSAGES = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda ident, flags, counts, rest: ident + flags + counts + rest,
        st.binary(min_size=2, max_size=2),
        st.binary(min_size=2, max_size=2),
        st.sampled_from([b"\0\1" + bytes(6), b"\0\1\0\0\0\0\0\1", b"\0\2" + bytes(6), b"\xff" * 8]),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda raw, at, byte: raw[: at % len(raw)] + bytes([byte]) + raw[at % len(raw) + 1 :],
        st.sampled_from([query(use_edns=0, payload=1232).to_wire(), query("a" * 60 + ".x", "SRV").to_wire()]),
        st.integers(0, 500),
        st.integers(0, 255),
    ),
)


@given(MESSAGES)
@example(b"\x12\x34\x01\x00\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1")  # a name that points at itself
@example(b"\x12\x34\x01\x00\0\1" + bytes(6) + b"\x3f" + b"a" * 10)  # a label beyond the end
def test_any_bytes_are_a_query_a_refusal_or_nothing(raw):
    reply = reply_to(raw)
    if reply is not None:
        assert reply[:2] == raw[:2]
        assert reply[2] & 0x80
        assert len(reply) <= packets.PAYLOAD


def reply_to(raw: bytes) -> bytes | None:
    try:
        parsed = packets.parse(raw)
    except packets.Unanswerable as error:
        return error.reply
    return packets.render(parsed, addresses(8), parsed.payload)


@given(MESSAGES, MESSAGES)
def test_any_bytes_of_another_server_are_an_answer_or_none(raw, asked):
    packets.answers(raw, asked)
    if len(raw) >= 12:
        packets.shortened(raw, 100)


def test_an_answer_of_another_server_is_for_the_query():
    asked = query()
    right = dns.message.make_response(asked)
    assert packets.answers(right.to_wire(), asked.to_wire())
    other = dns.message.make_response(query("evil.example"))
    other.id = asked.id
    assert not packets.answers(other.to_wire(), asked.to_wire())
    assert not packets.answers(asked.to_wire(), asked.to_wire())
