"""The table of a task's life: each row, and what holds for every way through it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.model.statuses import Status
from tsunagu_node.task.lifecycle import TABLE, Conditions, Stop, after, earlier

DRAIN = Stop("UserInitiated", "asked", drain=True)
NOW = Stop("EssentialContainerExited", "app, with code 1", drain=False)

ROWS = [
    (Status.PROVISIONING, Conditions(), Status.PROVISIONING),
    (Status.PROVISIONING, Conditions(network=True), Status.PENDING),
    (Status.PROVISIONING, Conditions(network=True, stop=DRAIN), Status.DEPROVISIONING),
    (Status.PENDING, Conditions(network=True), Status.PENDING),
    (Status.PENDING, Conditions(started=True), Status.ACTIVATING),
    (Status.PENDING, Conditions(started=True, stop=DRAIN), Status.STOPPING),
    (Status.ACTIVATING, Conditions(started=True), Status.ACTIVATING),
    (Status.ACTIVATING, Conditions(started=True, admitted=True), Status.RUNNING),
    (Status.ACTIVATING, Conditions(admitted=True, stop=DRAIN), Status.STOPPING),
    (Status.RUNNING, Conditions(admitted=True), Status.RUNNING),
    (Status.RUNNING, Conditions(stop=DRAIN), Status.DEACTIVATING),
    (Status.RUNNING, Conditions(stop=NOW), Status.STOPPING),
    (Status.DEACTIVATING, Conditions(stop=DRAIN), Status.DEACTIVATING),
    (Status.DEACTIVATING, Conditions(stop=DRAIN, drained=True), Status.STOPPING),
    (Status.DEACTIVATING, Conditions(stop=NOW), Status.STOPPING),
    (Status.STOPPING, Conditions(stop=DRAIN), Status.STOPPING),
    (Status.STOPPING, Conditions(stop=NOW, ended=True), Status.DEPROVISIONING),
    (Status.DEPROVISIONING, Conditions(stop=NOW, ended=True), Status.DEPROVISIONING),
    (Status.DEPROVISIONING, Conditions(stop=NOW, removed=True), Status.STOPPED),
    (Status.STOPPED, Conditions(stop=NOW, removed=True), Status.STOPPED),
]

conditions = st.builds(
    Conditions,
    stop=st.sampled_from([None, DRAIN, NOW]),
    **{name: st.booleans() for name in ("network", "started", "admitted", "drained", "ended", "removed")},
)


@pytest.mark.parametrize(("status", "known", "then"), ROWS)
def test_what_follows(status, known, then):
    assert after(status, known) is then


@given(st.sampled_from(list(Status)), conditions)
def test_a_task_never_goes_back(status, known):
    assert not earlier(after(status, known), status)


@given(st.sampled_from(list(Status)), conditions)
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
