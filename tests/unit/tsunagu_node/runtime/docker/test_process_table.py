"""An end counts once, and only for the run that it belongs to."""

import pytest

from tsunagu_node.runtime.contract import CannotStart, ProcessExited, ProcessState
from tsunagu_node.runtime.docker.process_table import OUT_OF_MEMORY, ProcessTable, saved, seconds


def started(at: float = 100.0) -> ProcessTable:
    table = ProcessTable()
    table.begin("app", "c1", at)
    return table


def test_an_end_is_told_once():
    table = started()
    assert table.ended("app", "c1", 3, 101.0) == ProcessExited("app", 3)
    assert table.ended("app", "c1", 3, 101.0) is None
    assert table.states() == {"app": ProcessState(3, 100.0, 101.0)}


@pytest.mark.parametrize(("container", "at"), [("c2", 101.0), ("c1", 99.0)])
def test_an_end_of_another_container_or_of_an_earlier_run_is_none(container, at):
    table = started()
    assert table.ended("app", container, 1, at) is None
    assert table.ended("nosuch", "c1", 1, 101.0) is None
    with pytest.raises(CannotStart, match="app is running"):
        table.check_free("app")


def test_a_container_whose_memory_was_not_enough_has_that_reason():
    table = started()
    table.out_of_memory("app", "c1")
    assert table.ended("app", "c1", 137, 101.0) == ProcessExited("app", 137, OUT_OF_MEMORY)


def test_memory_that_was_not_enough_for_a_child_is_no_reason_of_a_later_end():
    table = started()
    table.out_of_memory("app", "c1")
    assert table.ended("app", "c1", 0, 101.0) == ProcessExited("app", 0)


def test_one_that_could_not_be_started_was_never_there():
    table = started()
    table.abandon("app")
    table.check_free("app")
    assert table.states() == {}


def test_it_is_saved_and_read(tmp_path):
    table = started()
    table.ended("app", "c1", 3, 101.0)
    table.save(tmp_path)
    assert saved(tmp_path) == {"app": ProcessState(3, 100.0, 101.0)}
    assert saved(tmp_path / "nosuch") == {}


def inspected(**state) -> dict:
    times = {"StartedAt": "2026-11-26T12:00:00.5Z", "FinishedAt": "2026-11-26T12:00:01Z"}
    known = {"Running": False, "ExitCode": 0, "Pid": 0, **times, **state}
    return {"Id": "c1", "Name": "/web-1", "Image": "sha256:1", "State": known, "Config": {"StopSignal": "SIGQUIT"}}


def test_what_an_engine_describes_is_taken_over():
    table = ProcessTable()
    table.adopt("app", inspected(ExitCode=137, OOMKilled=True))
    table.adopt("web", inspected(Running=True, Pid=42))
    table.adopt("never", inspected(StartedAt="0001-01-01T00:00:00Z"))
    assert table.states().keys() == {"app", "web"}
    assert (table.get("app").state.code, table.get("app").state.reason) == (137, OUT_OF_MEMORY)
    assert (table.get("web").pid, table.get("web").stop_signal, table.get("web").state.code) == (42, "SIGQUIT", None)
    assert [name for name, _ in table.running()] == ["web"]


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01.123456789+01:00", 1.123456),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
    ],
)
def test_times_of_engines(stamp, found):
    assert seconds(stamp) == found


def test_a_node_agent_that_adopts_a_process_knows_the_same_start():
    """Who counts by the process that counted would take it for another one."""
    seen = inspected(Running=True, Pid=7)
    table, later = started(), ProcessTable()
    table.get("app").learn(seen)
    later.adopt("app", seen)
    assert table.states()["app"].started == later.states()["app"].started == seconds("2026-11-26T12:00:00.5Z")
