"""proxies, xds log, wait: what the inspector says, readable."""

import json

import pytest

from tsunagu.cli.commands import xds
from tsunagu.cli.display import proxy_table
from tsunagu.v1 import inspector_pb2


@pytest.fixture
def proxies(server):
    server.inspector.proxies = [
        inspector_pb2.Proxy(
            name="default/web-11111111",
            connected=True,
            variant="delta",
            types=[
                inspector_pb2.ProxyType(type="CDS", state="SYNCED", resources=3),
                inspector_pb2.ProxyType(type="EDS", state="STALE", age_seconds=4.2),
                inspector_pb2.ProxyType(
                    type="LDS", state="NACKED", age_seconds=90, error="cannot\nbind", rejected=["a", "b", "c", "d"]
                ),
                inspector_pb2.ProxyType(type="RDS", state="NOT_SENT", resources=2),
            ],
        ),
        inspector_pb2.Proxy(name="default/api-22222222"),
    ]
    return server


def test_proxies_shows_each_type_with_its_state(proxies, tsunagu):
    lines = tsunagu("proxies", "--home", proxies.home.root).stdout.splitlines()
    assert lines[1].split()[:2] == ["api-22222222", "no"]
    assert "SYNCED 3" in lines[2]
    assert "STALE for 4.2s" in lines[2]
    assert "NACKED for 90s" in lines[2]
    assert "NOT SENT  " in lines[2]
    assert lines[2].endswith("LDS a, b, c, d: cannot bind")  # a pipe gets every name
    [*_, cell] = proxy_table.table(proxies.inspector.proxies)[1][0]
    assert cell.text == "LDS a, b, c, ...: cannot bind"
    assert "SDS" not in lines[0]


def test_proxies_shows_what_is_held(proxies, tsunagu):
    proxies.inspector.proxies[0].types[1].held_seconds = 7.5
    proxies.inspector.proxies[0].types[0].held_seconds = 3
    shown = tsunagu("proxies", "web", "--home", proxies.home.root).stdout
    assert "STALE for 4.2s, held 7.5s more" in shown
    assert "SYNCED 3, held 3.0s more" in shown


def test_proxies_shows_a_column_for_each_type_that_is_asked_for(proxies, tsunagu):
    proxies.inspector.proxies[1].types.add(type="SDS", state="SYNCED", resources=1)
    lines = tsunagu("proxies", "--home", proxies.home.root).stdout.splitlines()
    assert lines[0].split()[3:8] == ["CDS", "EDS", "LDS", "RDS", "SDS"]
    assert lines[1].split()[-1] == "1"


def test_proxies_of_one_name(proxies, tsunagu):
    shown = json.loads(tsunagu("proxies", "web", "-o", "json", "--home", proxies.home.root).stdout)
    assert [proxy["name"] for proxy in shown] == ["default/web-11111111"]
    wrong = tsunagu("proxies", "wbe-11111111", "--home", proxies.home.root)
    assert (wrong.exit_code, "web-11111111" in wrong.stderr) == (4, True)


def test_proxies_shows_who_else_uses_a_token(proxies, tsunagu):
    web = proxies.inspector.proxies[0]
    web.clients.add(counts=True, variant="delta")
    web.clients.add(
        counts=False, variant="sotw", types=[inspector_pb2.ProxyType(type="CDS", state="STALE", age_seconds=9)]
    )
    lines = tsunagu("proxies", "web", "--home", proxies.home.root).stdout.splitlines()

    assert len(lines) == 3
    assert lines[2].split()[:2] == ["another", "client"]
    assert "sotw" in lines[2]
    assert "STALE for 9" in lines[2]
    assert lines[2].endswith("uses its token; nobody waits for it")


def test_metrics_are_numbers_for_people_and_exact_ones_in_json(proxies, tsunagu):
    acks = inspector_pb2.Metric(name="xds_acks", kind="counter", value=1234, help="accepted", labels={"type": "EDS"})
    proxies.inspector.metrics = [acks]
    shown = tsunagu("xds", "metrics", "--home", proxies.home.root).stdout.splitlines()
    [exact] = json.loads(tsunagu("xds", "metrics", "-o", "json", "--home", proxies.home.root).stdout)

    assert shown[1].split() == ["xds_acks", "EDS", "1,234", "accepted"]
    assert (exact["name"], exact["labels"], exact["value"]) == ("xds_acks", {"type": "EDS"}, 1234)


def event(**fields):
    return inspector_pb2.TimelineEvent(proxy="default/web-11111111", **fields)


def test_a_line_of_the_log_has_everything_at_its_place():
    text, colour = xds.line(
        event(type="EDS", kind="send", names=["a", "b", "c", "d"], revision=12, cause="Task x RUNNING", bytes=99)
    )
    assert text[14:] == "web-11111111           -> EDS is sent  a, b, c and 1 more r12 (Task x RUNNING) 99 B"
    assert colour == "blue"


def test_names_that_the_timeline_has_not_kept_are_counted():
    text, _ = xds.line(event(type="EDS", kind="send", names=["a", "b", "c", "d"], more=5000))
    assert "a, b, c and 5001 more" in text


def test_a_wide_line_has_every_name_with_its_version_its_number_and_the_nonce():
    sent = event(type="EDS", kind="send", names=["a", "b", "c", "d"], versions={"a": "1f"}, nonce="7", sequence=41)
    text, _ = xds.line(sent, wide=True)
    assert (text[:8], text[22:]) == ("    41  ", "web-11111111           -> EDS is sent  a@1f, b, c, d nonce 7")


def test_a_wide_line_has_the_versions_of_both_variants_and_all_that_a_request_asks_for():
    sent, _ = xds.line(event(type="CDS", kind="ack", version="1f", nonce="7"), wide=True)
    asks, _ = xds.line(event(type="EDS", kind="subscribe", names=["b"], asked=["a", "b"]), wide=True)
    first, _ = xds.line(event(type="EDS", kind="subscribe", names=["a", "b"], asked=["a", "b"]), wide=True)
    narrow, _ = xds.line(event(type="EDS", kind="subscribe", names=["b"], asked=["a", "b"], version="1f"))

    assert sent.endswith("ACK      nonce 7 version 1f")
    assert asks.endswith("wants    b asks for a, b")
    assert first.endswith("wants    a, b")
    assert narrow.endswith("wants    b")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            {"kind": "publish", "type": "EDS", "names": ["a"], "revision": 7, "cause": "x"},
            "the control plane      == EDS changes  a r7 (x)",
        ),
        (
            {"kind": "defer", "type": "LDS", "names": ["a"], "more": 2, "cause": "rule", "latency_seconds": 1},
            "web-11111111           .. LDS waits    a and 2 more (rule) for 1 s at most",
        ),
        (
            {"kind": "defer", "type": "LDS", "cause": "rule", "latency_seconds": 0.25},
            "web-11111111           .. LDS waits    everything (rule) for 0.25 s at most",
        ),
        (
            {"kind": "hold", "type": "EDS", "latency_seconds": 10},
            "web-11111111           .. EDS is held  for 10 s at most",
        ),
        ({"kind": "hold", "type": "EDS"}, "web-11111111           .. EDS is held  no longer"),
    ],
)
def test_what_is_no_message_has_a_line_too(fields, shown):
    made = event(**fields)
    if made.kind == "publish":
        made.proxy = ""
    assert xds.line(made)[0][14:] == shown


def test_a_pipe_gets_every_name(proxies, tsunagu):
    proxies.inspector.events = [event(type="EDS", kind="send", names=["a", "b", "c", "d"])]
    assert tsunagu("xds", "log", "--home", proxies.home.root).stdout.endswith("is sent  a, b, c, d\n")


def test_the_resources_of_one_proxy_and_type_are_a_table(proxies, tsunagu):
    proxies.inspector.resources = [
        inspector_pb2.ResourcesResponse(
            connected=True,
            resources=[
                inspector_pb2.ProxyResource(
                    type="CDS", name="svc/shop/orders", state="SYNCED", version="1f", age_seconds=90
                ),
                inspector_pb2.ProxyResource(type="CDS", name="bad", state="NACKED", error="no\n type", age_seconds=2),
            ],
        )
    ]
    shown = tsunagu("proxies", "web", "--type", "cds", "--home", proxies.home.root).stdout.splitlines()
    assert shown[0].split() == ["NAME", "STATE", "FOR", "VERSION", "REFUSED", "BECAUSE"]
    assert [line.split() for line in shown[1:]] == [
        ["svc/shop/orders", "SYNCED", "90s", "1f"],
        ["bad", "NACKED", "2.0s", "-", "no", "type"],
    ]
    wrong = tsunagu("proxies", "web", "--type", "xyz", "--home", proxies.home.root)
    assert (wrong.exit_code, "the types are CDS" in wrong.stderr) == (2, True)


def test_a_refusal_is_red_and_says_why():
    text, colour = xds.line(
        event(type="LDS", kind="nack", names=["bad"], detail="no\n address", latency_seconds=0.0021)
    )
    assert text[14:] == "web-11111111           <- LDS NACK     bad after 2.1 ms no address"
    assert colour == "red"


def test_the_log_can_be_filtered_and_read_by_programs(proxies, tsunagu):
    proxies.inspector.events = [event(kind="connect"), event(type="CDS", kind="ack", sequence=2)]
    text = tsunagu("xds", "log", "--type", "cds", "-o", "json", "--home", proxies.home.root).stdout
    assert [json.loads(line)["kind"] for line in text.splitlines()] == ["ack"]
    assert len(tsunagu("xds", "log", "--proxy", "web", "--home", proxies.home.root).stdout.splitlines()) == 2


def test_wait_names_those_that_are_not_there_yet(server, tsunagu):
    done = tsunagu("wait", "--timeout", "3", "--home", server.home.root)
    assert (done.exit_code, done.stdout) == (0, "converged on revision 7\n")
    assert 2 < server.inspector.waited[0].timeout_seconds <= 3
    server.inspector.missing = [inspector_pb2.Unconverged(proxy="default/web-1", reason="not connected")]
    late = tsunagu("wait", "--timeout", "0", "--home", server.home.root)
    assert late.exit_code == 7
    assert "web-1: not connected" in late.stderr


def test_what_no_mesh_could_answer_is_the_command_lines_fault(proxies, tsunagu):
    later = tsunagu("wait", "--revision", "9", "--home", proxies.home.root)
    assert (later.exit_code, later.stderr) == (2, "error: revision 9 is yet to come\n")
    wrong = tsunagu("xds", "log", "--type", "CSD", "--home", proxies.home.root)
    assert wrong.exit_code == 2
    assert "the types are CDS" in wrong.stderr


def test_wait_steady_says_what_it_waits_for(server, tsunagu, shop):
    tsunagu("apply", shop, "--home", server.home.root)
    late = tsunagu("wait", "--steady", "--timeout", "0.2", "--home", server.home.root)
    assert late.exit_code == 7
    assert "service default/web: its change has not been taken up yet" in late.stderr
