"""xds show and xds explain, as one types them."""

import json

import pytest

from tsunagu.cli.recording import Recorder
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import EDS


@pytest.fixture
def sent(server):
    event = inspector_pb2.TimelineEvent(
        sequence=41, proxy="default/web-11111111", kind="send", type="EDS", variant="delta", stream="3", nonce="3-1",
        names=["svc"], versions={"svc": "1f"}, bytes=20,
    )  # fmt: skip
    body = inspector_pb2.MessageBody(version="1f", state="kept", content=b"\x0a\x03svc")
    part = inspector_pb2.MessagePart(name="svc", now=body)
    server.inspector.message = inspector_pb2.MessageResponse(event=event, type_url=EDS, parts=[part], identifier="cp")
    server.inspector.events = [event]
    server.inspector.proxies = [inspector_pb2.Proxy(name="default/web-11111111")]
    return server


def test_a_message_is_yaml_between_remarks(sent, tsunagu):
    lines = tsunagu("xds", "show", "41", "--home", sent.home.root).stdout.splitlines()
    assert lines[0].endswith(": a DeltaDiscoveryResponse of 20 B to web-11111111, stream 3")
    assert lines[1:] == [
        "# not answered, as far as is known",
        "resources:",
        "- name: svc",
        "  version: 1f",
        "  resource:",
        f"    '@type': {EDS}",
        "    cluster_name: svc",
        f"type_url: {EDS}",
        "nonce: 3-1",
        "control_plane:",
        "  identifier: cp",
        "# svc: new, as far as is known",
    ]


def test_a_message_for_programs_has_its_event_and_its_differences(sent, tsunagu):
    shown = json.loads(tsunagu("xds", "show", "41", "-o", "json", "--home", sent.home.root).stdout)
    assert (shown["event"]["sequence"], shown["message"]["nonce"]) == ("41", "3-1")
    assert shown["differences"] == ["# svc: new, as far as is known"]


def test_without_a_number_it_is_the_newest_response(sent, tsunagu):
    where = ("--home", sent.home.root)
    sent.inspector.events.append(inspector_pb2.TimelineEvent(sequence=42, kind="ack", type="EDS"))
    numbered = tsunagu("xds", "show", "41", *where).stdout
    assert tsunagu("xds", "show", *where).stdout == numbered
    assert tsunagu("xds", "show", "--proxy", "web", "--type", "eds", *where).stdout == numbered
    nothing = tsunagu("xds", "show", "--proxy", "web", "--type", "LDS", *where)
    assert (nothing.exit_code, nothing.stderr) == (4, "error: no response of LDS to web-11111111 is kept\n")
    both = tsunagu("xds", "show", "41", "--type", "LDS", *where)
    assert (both.exit_code, "leave out --proxy and --type" in both.stderr) == (2, True)


def test_a_message_that_is_not_kept_is_told_to_be_gone(sent, tsunagu):
    wrong = tsunagu("xds", "show", "7", "--home", sent.home.root)
    assert (wrong.exit_code, wrong.stderr) == (4, "error: event 7 is no longer there\n")


def test_explain_tells_the_timeline_in_sentences(sent, tsunagu):
    said = tsunagu("xds", "explain", "--home", sent.home.root).stdout.splitlines()
    assert said[0].endswith("web-11111111 was connected before.")
    assert said[1].startswith("  It is sent EDS svc (20 B): NOT ANSWERED for ")
    assert tsunagu("xds", "explain", "--since", "1m", "--home", sent.home.root).stdout == ""
    assert tsunagu("xds", "explain", "--proxy", "web", "--home", sent.home.root).stdout.startswith(said[0])


def test_explain_reads_a_recording_and_needs_no_mesh(sent, tsunagu, tmp_path):
    file = tmp_path / "run.jsonl"
    with Recorder(file) as recorder:
        recorder.write(sent.inspector.events[0])
    said = tsunagu("xds", "explain", file, "--home", tmp_path / "nowhere").stdout.splitlines()
    assert said[1] == "  It is sent EDS svc (20 B): NOT ANSWERED for 0.0 s."
