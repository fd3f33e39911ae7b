"""What containers write, from their bytes to the reader's lines."""

import asyncio
import os
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from tsunagu_node.runtime.linux.init import log_writer
from tsunagu_node.runtime.linux.init.log_writer import Writer, stamp
from tsunagu_node.task.output import logs


async def lines(directory: Path, container: str = "", *, tail: int | None = None) -> list[tuple[str, str, bytes]]:
    found = logs.read(directory, logs.Selection(container, tail))
    return [(line.container, line.stream, line.text) async for line in found]


async def test_lines_come_back_as_they_were_written(tmp_path):
    writer = Writer(str(tmp_path / "app.log"))
    writer.write("stdout", b"one\ntw")
    writer.write("stderr", b"oops \xff\n")
    writer.write("stdout", b"o\n\nrest")
    writer.end("stdout")
    writer.close()
    assert await lines(tmp_path) == [
        ("app", "stdout", b"one"),
        ("app", "stderr", b"oops \xff"),
        ("app", "stdout", b"two"),
        ("app", "stdout", b""),
        ("app", "stdout", b"rest"),
    ]


async def test_a_line_without_end_is_broken(tmp_path):
    writer = Writer(str(tmp_path / "app.log"))
    writer.write("stdout", b"x" * 150_000)
    writer.end("stdout")
    writer.close()
    assert [len(text) for _, _, text in await lines(tmp_path)] == [65536, 65536, 150_000 - 2 * 65536]


async def test_a_file_over_its_limit_is_rotated_and_both_are_read(tmp_path):
    writer = Writer(str(tmp_path / "app.log"), limit=2000)
    for number in range(100):
        writer.write("stdout", b"line %03d\n" % number)
    writer.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"app.log", "app.log.1"}
    assert all(size < 2100 for size in sizes.values())
    texts = [text for _, _, text in await lines(tmp_path)]
    assert texts == [b"line %03d" % number for number in range(100 - len(texts), 100)]
    assert len(texts) > 50


@pytest.mark.parametrize(("tail", "texts"), [(0, []), (1, [b"3"]), (2, [b"2", b"3"]), (9, [b"1", b"2", b"3"])])
async def test_the_last_lines_of_all_containers_in_order(tmp_path, tail, texts):
    for container, text in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        writer = Writer(str(tmp_path / f"{container}.log"))
        writer.write("stdout", text + b"\n")
        writer.close()
    assert [text for _, _, text in await lines(tmp_path, tail=tail)] == texts


async def test_the_apps_or_one_container_alone_and_never_the_init(tmp_path):
    for container in ("app", "envoy"):
        writer = Writer(str(tmp_path / f"{container}.log"))
        writer.write("stdout", b"hello\n")
        writer.close()
    (tmp_path / "init.err").write_text("Traceback ...")
    assert {name for name, _, _ in await lines(tmp_path)} == {"app"}
    assert {name for name, _, _ in await lines(tmp_path, "envoy")} == {"envoy"}


async def test_following_goes_on_over_a_rotation_and_into_new_files(tmp_path):
    app = Writer(str(tmp_path / "app.log"), limit=50)
    app.write("stdout", b"first\n")
    async with aclosing(logs.read(tmp_path, logs.Selection(), lambda: False)) as found, asyncio.timeout(60):
        assert (await anext(found)).text == b"first"
        app.write("stdout", b"second, which is long enough for the file to be over its limit\n")
        app.write("stdout", b"third\n")
        assert [(await anext(found)).text for _ in range(2)][-1] == b"third"
        late = Writer(str(tmp_path / "late.log"))
        late.write("stderr", b"fourth\n")
        assert (await anext(found)).container == "late"
        late.close()
    app.close()


async def test_a_line_that_a_full_disk_has_torn_hides_no_other(tmp_path, monkeypatch):
    write, writer = os.write, Writer(str(tmp_path / "app.log"))
    writer.write("stdout", b"before\n")
    for room in (10, 46):  # in the time, in the text
        monkeypatch.setattr(log_writer.os, "write", lambda fd, text, room=room: write(fd, text[:room]))
        writer.write("stdout", b"torn, after some words\n")
        monkeypatch.undo()
        writer.write("stdout", b"after\n")
    writer.close()
    assert [text for _, _, text in await lines(tmp_path)] == [b"before", b"after", b"torn, after", b"after"]


async def test_what_is_no_line_is_left_out(tmp_path):
    good = f"{stamp(1.0)} stdout good\n"
    (tmp_path / "app.log").write_text(f"{good}2025-11-2{good}\nnonsense\n2025-11-22T12:00:00.000000Z stdout\n{good}")
    for tail in (None, 1):
        assert {text for _, _, text in await lines(tmp_path, tail=tail)} == {b"good"}


async def test_a_torn_line_at_a_rotation_takes_none_of_the_next_file(tmp_path):
    (tmp_path / "app.log.1").write_text(f"{stamp(1.0)} stdout one\n{stamp(2.0)} std")
    (tmp_path / "app.log").write_text(f"{stamp(3.0)} stdout two\n")
    assert [text for _, _, text in await lines(tmp_path)] == [b"one", b"two"]


async def test_without_room_for_another_file_the_old_one_grows_on(tmp_path):
    """A folder in the file's place refuses it, as a full disk does."""
    (tmp_path / "app.log.1").mkdir()
    writer = Writer(str(tmp_path / "app.log"), limit=50)
    for text in (b"first, and long enough for a rotation", b"second", b"third"):
        writer.write("stdout", text + b"\n")
    (tmp_path / "app.log.1").rmdir()
    assert len(await lines(tmp_path)) == 3
    writer.write("stdout", b"fourth\n")
    writer.close()
    assert {path.name for path in tmp_path.iterdir()} == {"app.log", "app.log.1"}
    assert [text for _, _, text in await lines(tmp_path)][-2:] == [b"third", b"fourth"]


async def test_of_a_tail_only_what_is_asked_for_is_looked_at_and_not_by_the_event_loop(tmp_path, monkeypatch):
    looked = []

    def parsed(container, raw):
        looked.append(threading.current_thread())
        return parse(container, raw)

    parse = logs._parsed
    monkeypatch.setattr(logs, "_parsed", parsed)
    for name in ("a.log", "a.log.1"):
        writer = Writer(str(tmp_path / name))
        writer.write("stdout", b"line\n" * 5000)
        writer.close()
    assert len(await lines(tmp_path, tail=3)) == 3
    assert len(looked) <= 6
    assert threading.main_thread() not in looked


async def test_following_ends_with_the_task_and_misses_none_of_its_last_lines(tmp_path):
    """Also when its directory goes at that moment: what was opened is read to its end."""
    app = Writer(str(tmp_path / "app.log"))
    app.write("stdout", b"first\n")
    has_ended = False
    found = logs.read(tmp_path, logs.Selection(), lambda: has_ended)
    async with asyncio.timeout(60):
        assert (await anext(found)).text == b"first"
        app.write("stdout", b"last words\n")
        app.close()
        (tmp_path / "app.log").unlink()
        has_ended = True
        assert [line.text async for line in found] == [b"last words"]


def written(file: Path, *times: float) -> None:
    file.write_text("".join(f"{stamp(at)} stdout {at:g}\n" for at in times))


async def test_since_a_time_only_lines_that_were_written_then_or_later(tmp_path):
    written(tmp_path / "app.log.1", 1.0, 2.0)
    written(tmp_path / "app.log", 3.0, 4.000001)
    for since, texts in (
        (2.0, ["2", "3", "4"]),
        (2.000001, ["3", "4"]),
        (4.000001, ["4"]),
        (9e20, []),
        (-1.0, list("1234")),
    ):
        found = [line async for line in logs.read(tmp_path, logs.Selection(since=since))]
        assert [line.text.decode()[0] for line in found] == texts, since


async def test_a_rate_shows_the_newest_lines_and_counts_what_it_leaves_out(tmp_path):
    written(tmp_path / "app.log", *range(1, 101))
    written(tmp_path / "quiet.log", 50)
    found = [line async for line in logs.read(tmp_path, logs.Selection(rate=2))]
    assert [(line.container, line.text, line.left_out) for line in found if line.left_out] == [("app", b"91", 90)]
    assert [line.text for line in found if line.container == "app"] == [b"%d" % at for at in range(91, 101)]
    assert [line.text for line in found if line.container == "quiet"] == [b"50"]


async def test_what_is_too_old_is_not_counted_as_left_out(tmp_path):
    written(tmp_path / "app.log", *range(1, 101))
    found = [line async for line in logs.read(tmp_path, logs.Selection(rate=2, since=95.0))]
    assert [(line.text, line.left_out) for line in found] == [(b"%d" % at, 0) for at in range(95, 101)]


def test_an_allowance_grows_with_time_and_no_further_than_its_burst():
    allowance = logs.Allowance(rate=10, most=30)
    assert allowance.take(100, 5.0) == 30
    assert allowance.take(100, 5.0) == 0
    assert allowance.take(3, 5.5) == 3
    assert allowance.take(100, 5.5) == 2
    assert allowance.take(100, 1000.0) == 30


def test_times_are_utc_with_microseconds():
    assert stamp(0.0000014) == "1970-01-01T00:00:00.000001Z"
    assert stamp(1_795_351_230.65) == "2026-11-22T12:40:30.650000Z"
    assert stamp(1.9999999) == "1970-01-01T00:00:02.000000Z"
