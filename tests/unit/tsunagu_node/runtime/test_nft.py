"""The bytes of a batch, against the attributes that the kernel's headers define."""

import struct

from tsunagu_node.runtime.contract import Capture, Redirect
from tsunagu_node.runtime.nft import batch


def attributes(raw: bytes) -> list[tuple[int, bytes]]:
    found = []
    while raw:
        length, kind = struct.unpack_from("=HH", raw)
        found.append((kind & 0x7FFF, raw[4:length]))
        raw = raw[(length + 3) & ~3 :]
    return found


def expressions(message: bytes) -> list[tuple[str, dict[int, bytes]]]:
    (rule,) = [body for kind, body in attributes(message[20:]) if kind == 4]
    found = []
    for _, element in attributes(rule):
        parts = dict(attributes(element))
        found.append((parts[1].rstrip(b"\0").decode(), dict(attributes(parts[2]))))
    return found


def test_a_batch_begins_and_ends_and_makes_the_table_anew():
    messages = batch([])
    kinds = [struct.unpack_from("=H", message, 4)[0] for message in messages]
    assert kinds == [0x10, 0xA00, 0xA02, 0xA00, 0xA03, 0xA03, 0x11]
    assert all(struct.unpack_from("=I", message)[0] == len(message) for message in messages)


def test_a_capture_matches_tcp_to_its_network_and_redirects():
    message = batch([Capture("127.255.0.0", 16, 15001)])[-2]
    steps = expressions(message)
    assert [name for name, _ in steps] == ["meta", "cmp", "payload", "bitwise", "cmp", "immediate", "redir"]
    assert dict(attributes(steps[1][1][3]))[1] == bytes([6])
    assert steps[2][1][3] == struct.pack(">I", 16)
    assert dict(attributes(steps[3][1][4]))[1] == bytes([255, 255, 0, 0])
    assert dict(attributes(steps[4][1][3]))[1] == bytes([127, 255, 0, 0])
    assert dict(attributes(steps[5][1][2]))[1] == struct.pack(">H", 15001)
    assert dict(attributes(message[20:]))[2] == b"out\0"


def test_a_redirect_matches_the_port_of_what_comes_in():
    message = batch([Redirect(8080, 15100)])[-2]
    steps = expressions(message)
    assert [name for name, _ in steps] == ["meta", "cmp", "payload", "cmp", "immediate", "redir"]
    assert dict(attributes(steps[3][1][3]))[1] == struct.pack(">H", 8080)
    assert dict(attributes(steps[4][1][2]))[1] == struct.pack(">H", 15100)
    assert dict(attributes(message[20:]))[2] == b"in\0"
