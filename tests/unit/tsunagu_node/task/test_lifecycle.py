"""The table of a task's life: each row, and what holds for every way through it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu_node.task.lifecycle import TABLE, Facts, Status, Stop, after, earlier

DRAIN = Stop("UserInitiated", "asked", drain=True)
NOW = Stop("EssentialContainerExited", "app, with code 1", drain=False)

ROWS = [
    (Status.PROVISIONING, Facts(), Status.PROVISIONING),
    (Status.PROVISIONING, Facts(network=True), Status.PENDING),
    (Status.PROVISIONING, Facts(network=True, stop=DRAIN), Status.DEPROVISIONING),
    (Status.PENDING, Facts(network=True), Status.PENDING),
    (Status.PENDING, Facts(started=True), Status.ACTIVATING),
    (Status.PENDING, Facts(started=True, stop=DRAIN), Status.STOPPING),
    (Status.ACTIVATING, Facts(started=True), Status.ACTIVATING),
    (Status.ACTIVATING, Facts(started=True, admitted=True), Status.RUNNING),
    (Status.ACTIVATING, Facts(admitted=True, stop=DRAIN), Status.STOPPING),
    (Status.RUNNING, Facts(admitted=True), Status.RUNNING),
    (Status.RUNNING, Facts(stop=DRAIN), Status.DEACTIVATING),
    (Status.RUNNING, Facts(stop=NOW), Status.STOPPING),
    (Status.DEACTIVATING, Facts(stop=DRAIN), Status.DEACTIVATING),
    (Status.DEACTIVATING, Facts(stop=DRAIN, drained=True), Status.STOPPING),
    (Status.DEACTIVATING, Facts(stop=NOW), Status.STOPPING),
    (Status.STOPPING, Facts(stop=DRAIN), Status.STOPPING),
    (Status.STOPPING, Facts(stop=NOW, ended=True), Status.DEPROVISIONING),
    (Status.DEPROVISIONING, Facts(stop=NOW, ended=True), Status.DEPROVISIONING),
    (Status.DEPROVISIONING, Facts(stop=NOW, removed=True), Status.STOPPED),
    (Status.STOPPED, Facts(stop=NOW, removed=True), Status.STOPPED),
]

facts = st.builds(
    Facts,
    stop=st.sampled_from([None, DRAIN, NOW]),
    **{name: st.booleans() for name in ("network", "started", "admitted", "drained", "ended", "removed")},
)


@pytest.mark.parametrize(("status", "known", "then"), ROWS)
def test_what_follows(status, known, then):
    assert after(status, known) is then


@given(st.sampled_from(list(Status)), facts)
def test_a_task_never_goes_back(status, known):
    assert not earlier(after(status, known), status)


@given(st.sampled_from(list(Status)), facts)
def test_a_stop_ends_it_when_its_jobs_are_done(status, known):
    done = replace(known, stop=known.stop or DRAIN, drained=True, ended=True, removed=True)
    for _ in Status:
        status = after(status, done)
    assert status is Status.STOPPED


def test_only_a_running_task_drains():
    assert {row.status for row in TABLE if row.then is Status.DEACTIVATING} == {Status.RUNNING}


def test_each_row_can_be_reached():
    """No row stands behind one of the same status that always holds first."""
    assert {(status, then) for status, _, then in ROWS if status is not then} == {
        (row.status, row.then) for row in TABLE
    }
