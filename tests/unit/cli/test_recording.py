"""xds log --record and xds replay: what was written is read, and what is no recording is told so."""

import json

import pytest

from tsunagu.cli.commands import xds
from tsunagu.cli.recording import FORMAT, Recorder, Recording, RecordingError
from tsunagu.kit.tokens import mint
from tsunagu.v1 import inspector_pb2


def event(sequence=1, **fields):
    made = inspector_pb2.TimelineEvent(sequence=sequence, **{"proxy": "default/web-11111111", **fields})
    made.time.FromNanoseconds(1_800_000_000_000_000_000 + sequence * 500_000_000)
    return made


EVENTS = [
    event(1, kind="connect", detail="delta envoy 1.40.0"),
    event(
        2, type="CDS", kind="send", names=["a", "b"], versions={"a": "1", "b": "2"}, nonce="1-1", revision=7, bytes=40
    ),
    event(3, type="CDS", kind="ack", nonce="1-1", latency_seconds=0.25),
    event(4, type="LDS", kind="nack", names=["l"], nonce="1-2", detail="no address", proxy="default/api-22222222"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def recorded(path):
    with Recorder(path) as recorder:
        for one in EVENTS:
            recorder.write(one)
    return path


def test_what_was_written_is_read(recorded):
    recording = Recording(recorded)
    assert list(recording) == EVENTS
    assert list(recording) == EVENTS  # as often as one likes
    assert recording.header.by.startswith("tsunagu ")


def test_the_log_shows_and_records_and_the_replay_shows_the_same(server, tsunagu, path):
    server.inspector.events = EVENTS
    log = tsunagu("xds", "log", "--record", path, "--home", server.home.root)
    replay = tsunagu("xds", "replay", path)
    assert log.stdout == replay.stdout
    assert len(replay.stdout.splitlines()) == 4
    assert replay.stderr.startswith("recorded 20")
    as_json = tsunagu("xds", "replay", path, "-o", "json").stdout.splitlines()
    assert json.loads(as_json[1])["versions"] == {"a": "1", "b": "2"}


def test_a_replay_is_filtered_as_the_log_is(recorded, tsunagu):
    def kinds(*options):
        text = tsunagu("xds", "replay", recorded, "-o", "json", *options).stdout
        return [json.loads(line)["kind"] for line in text.splitlines()]

    assert kinds("--type", "cds") == ["send", "ack"]
    assert kinds("--proxy", "api") == ["nack"]
    assert kinds("--after", "2") == ["ack", "nack"]
    assert kinds("--proxy", "web", "--type", "CDS", "--after", "2") == ["ack"]


def test_what_cannot_be_filtered_by_is_told(recorded, tsunagu):
    assert "the types are CDS" in tsunagu("xds", "replay", recorded, "--type", "XDS").stderr
    wrong = tsunagu("xds", "replay", recorded, "--proxy", "wbe-11111111")
    assert (wrong.exit_code, "web-11111111" in wrong.stderr) == (4, True)


def test_a_replay_keeps_the_pauses_divided_by_the_speed():
    pauses = []
    assert list(xds.paced(iter(EVENTS), 5, pauses.append)) == EVENTS
    assert pauses == [0.1, 0.1, 0.1]
    list(xds.paced(iter(EVENTS), 0, pauses.append))
    list(xds.paced(reversed(EVENTS), 1, pauses.append))  # a clock that was set back
    assert len(pauses) == 3


def test_a_file_that_is_there_is_not_written_over(recorded, server, tsunagu):
    before = recorded.read_text()
    result = tsunagu("xds", "log", "--record", recorded, "--home", server.home.root)
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
    assert recorded.read_text() == before


def test_no_secret_is_ever_written(path):
    token = mint(b"k" * 32, "default/web-1")
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"
    message = f"refused: {token} and authorization: Bearer abc.def and {key} after"
    with Recorder(path) as recorder:
        recorder.write(event(kind="nack", detail=message, cause=token, names=["l"]))
    text = path.read_text()
    assert [secret in text for secret in (token, "abc.def", "MIIabc")] == [False] * 3
    [read] = Recording(path)
    assert read.detail == ("refused: [redacted] and authorization: Bearer [redacted] and [redacted] after")


def test_a_key_that_is_cut_off_is_no_less_secret(path):
    with Recorder(path) as recorder:
        recorder.write(event(kind="nack", detail="x -----BEGIN PRIVATE KEY-----\nMIIabc"))
    assert "MIIabc" not in path.read_text()


def refused(path):
    with pytest.raises(RecordingError) as caught:
        list(Recording(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello\n", "is no recording of a timeline"),
        (b'{"kind": "connect"}\n', "is no recording of a timeline"),
        (b"[1]\n", "is no recording of a timeline"),
        (b"\x1f\x8b\x08\x00\xff\xff", "is no recording of a timeline"),
        (b'{"format": "%s", "version": 2, "by": "tsunagu 9"}\n' % FORMAT.encode(), "is a recording of version 2"),
    ],
)
def test_a_foreign_file(path, content, message):
    path.write_bytes(content)
    assert message in refused(path)


def test_a_file_of_another_version_says_who_wrote_it(path, tsunagu):
    path.write_text(json.dumps({"format": FORMAT, "version": 2, "by": "tsunagu 9"}) + "\n")
    result = tsunagu("xds", "replay", path)
    assert (result.exit_code, "written by tsunagu 9" in result.stderr) == (1, True)


def test_a_file_that_is_not_there(path, tsunagu):
    result = tsunagu("xds", "replay", path)
    assert (result.exit_code, result.stderr) == (1, f"error: {path}: No such file or directory\n")


@pytest.mark.parametrize("lines_kept", [1, 3, 5])
def test_a_recording_without_its_end_shows_what_there_is_and_says_so(recorded, tsunagu, lines_kept):
    lines = recorded.read_text().splitlines(keepends=True)
    recorded.write_text("".join(lines[:lines_kept]))
    result = tsunagu("xds", "replay", recorded)
    assert len(result.stdout.splitlines()) == lines_kept - 1
    assert (result.exit_code, f"is cut off after {lines_kept - 1} events" in result.stderr) == (1, True)


def test_a_recording_that_ends_inside_of_a_line(recorded):
    recorded.write_bytes(recorded.read_bytes()[:-20])
    assert "is cut off after 3 events" in refused(recorded) or "is cut off after 4 events" in refused(recorded)


def test_a_recording_that_has_lost_a_line(recorded):
    lines = recorded.read_text().splitlines(keepends=True)
    recorded.write_text("".join(lines[:2] + lines[3:]))
    assert "was written with 4 events and has 3" in refused(recorded)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{nonsense\n", ":3: not a JSON object"), ('{"sequence": "x"}\n', ":3: not an event"), ("3\n", ":3: not a JSON")],
)
def test_a_damaged_line_is_named(recorded, line, message):
    lines = recorded.read_text().splitlines(keepends=True)
    recorded.write_text("".join([*lines[:2], line, *lines[3:]]))
    assert message in refused(recorded)


def test_nothing_follows_the_end(recorded):
    recorded.write_text(recorded.read_text() + '{"sequence": "9"}\n')
    assert "something follows the last line" in refused(recorded)
