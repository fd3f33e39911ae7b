"""Frames and lines, as an engine cuts them."""

import struct

import pytest

from tsunagu_node.runtime.docker.engine.frames import Cursor, Demultiplexer, Entry, Frame, Lines, Terminal

NOON = "2026-11-26T12:00:00.{}"
STAMP = NOON.format("123456789Z")
SHORT = NOON.format("123456Z")


def framed(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(payload)) + payload


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_frames_are_the_same_however_they_come(size):
    raw = framed(1, b"out") + framed(2, b"") + framed(2, b"err\n")
    frames = Demultiplexer()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    found = [frame for piece in pieces for frame in frames.feed(piece)]
    assert found == [Frame("stdout", b"out"), Frame("stderr", b""), Frame("stderr", b"err\n")]


def test_a_terminal_has_one_stream_of_lines():
    terminal = Terminal()
    assert list(terminal.feed(b"a\r\nb")) == [Frame("stdout", b"a\n")]
    assert list(terminal.feed(b"c\n")) == [Frame("stdout", b"bc\n")]


LATER = NOON.format("999999999Z")
PIECE = b"x" * 16384


def frame(text: bytes, stream: str = "stdout", stamp: str = STAMP) -> Frame:
    return Frame(stream, stamp.encode() + b" " + text)


@pytest.mark.parametrize("rest", [b"end\n", b"end"])
def test_a_line_has_the_time_of_its_first_piece(rest):
    lines = Lines()
    assert list(lines.feed(frame(PIECE))) == []
    assert list(lines.feed(frame(rest, stamp=LATER))) == [Entry(SHORT, "stdout", PIECE + b"end")]


def test_a_line_of_whole_pieces_ends_with_an_empty_one():
    lines = Lines()
    assert list(lines.feed(frame(PIECE))) == []
    assert list(lines.feed(frame(b""))) == [Entry(SHORT, "stdout", PIECE)]


def test_streams_do_not_mix():
    lines = Lines()
    assert list(lines.feed(frame(PIECE))) == []
    assert list(lines.feed(frame(b"e\n", "stderr"))) == [Entry(SHORT, "stderr", b"e")]
    assert list(lines.end()) == [Entry(SHORT, "stdout", PIECE)]
    assert list(lines.end()) == []


def test_an_endless_line_is_broken():
    lines = Lines()
    found = list(lines.feed(Frame("stdout", f"{STAMP} ".encode() + b"x" * 70_000 + b"\n")))
    assert [len(entry.text) for entry in found] == [65536, 70_000 - 65536]


@pytest.mark.parametrize(
    ("given", "stamp"),
    [("2026-11-26T12:00:00Z", NOON.format("000000Z").replace(".000000Z", "0000000Z")), (STAMP, SHORT)],
)
def test_times_have_microseconds(given, stamp):
    (entry,) = Lines().feed(Frame("stdout", f"{given} x\n".encode()))
    assert len(entry.stamp) == 27
    assert entry.stamp.endswith("Z")


def test_what_is_read_again_is_taken_once():
    cursor = Cursor()
    first = [Entry("t1", "stdout", b"a"), Entry("t2", "stdout", b"b"), Entry("t2", "stdout", b"b")]
    assert [cursor.is_new(entry) for entry in first] == [True, True, True]
    cursor.rewind()  # from t2 on, inclusive
    again = [*first[1:], Entry("t2", "stdout", b"c"), Entry("t3", "stdout", b"d")]
    assert [cursor.is_new(entry) for entry in again] == [False, False, True, True]


def test_a_cursor_of_a_file_knows_how_many_lines_its_last_time_has():
    cursor = Cursor("t2", 1)
    cursor.rewind()
    assert [cursor.is_new(Entry("t2", "stdout", text)) for text in (b"known", b"new")] == [False, True]
