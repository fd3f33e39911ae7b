import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu_sidecar.plan import Action, Exited, Limits, Ready, State, Stop, Tick, adopt, advance, begin

LIMITS = Limits()


def walk(*steps):
    """The states and actions of an Envoy begun at 0, given (time, event) in turn."""
    at, action = begin(0.0)
    seen = [(at.state, action)]
    for now, event in steps:
        at, action = advance(at, event, now)
        seen.append((at.state, action))
    return at, seen


def test_a_good_life():
    at, seen = walk((0.1, Ready()), (60, Stop()), (61, Exited(0)))
    assert seen == [
        (State.STARTING, Action.SPAWN),
        (State.LIVE, None),
        (State.STOPPED, Action.TERMINATE),
        (State.STOPPED, None),
    ]
    assert (at.running, at.exit_code, at.restarts, at.deadline) == (False, 0, 0, None)


def test_a_killed_one_is_started_again_after_a_delay():
    at, seen = walk((0.1, Ready()), (1.0, Exited(137)), (1.05, Tick()), (1.11, Tick()))
    assert seen[2:] == [(State.RESTARTING, None), (State.RESTARTING, None), (State.STARTING, Action.SPAWN)]
    assert (at.restarts, at.exit_code) == (1, 137)


def test_the_delay_grows_and_is_limited():
    assert [LIMITS.restarts.delay(n) for n in (1, 2, 3, 4, 5, 6, 7, 1000)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_one_that_lived_is_forgiven():
    at, _ = walk((0, Exited(1)), (1, Tick()), (1, Exited(1)), (2, Tick()), (2, Ready()), (40, Exited(1)))
    assert (at.failures, at.restarts) == (1, 3)


def test_one_that_did_not_live_long_is_not():
    at, _ = walk((0, Exited(1)), (1, Tick()), (1, Ready()), (2, Exited(1)))
    assert at.failures == 2


def test_a_start_that_takes_too_long_is_ended_once():
    at, seen = walk((29, Tick()), (30, Tick()), (31, Tick()), (31, Exited(137)))
    assert [action for _, action in seen] == [Action.SPAWN, None, Action.KILL, None, None]
    assert at.state is State.RESTARTING


def test_a_stop_that_takes_too_long_is_ended_once():
    _, seen = walk((1, Ready()), (2, Stop()), (6.9, Tick()), (7, Tick()), (8, Tick()), (8, Exited(137)))
    assert [action for _, action in seen[3:]] == [None, Action.KILL, None, None]


def test_stopping_between_two_starts_needs_no_signal():
    at, seen = walk((0, Exited(1)), (0.01, Stop()), (10, Tick()))
    assert seen[-2:] == [(State.STOPPED, None), (State.STOPPED, None)]
    assert not at.running


def test_an_adopted_one_is_not_spawned():
    at, action = advance(adopt(5.0, restarts=3), Ready(), 5.1)
    assert (at.state, at.restarts, action) == (State.LIVE, 3, None)


events = st.one_of(st.just(Tick()), st.just(Ready()), st.just(Stop()), st.builds(Exited, st.integers(0, 255)))


@given(st.lists(st.tuples(st.floats(0, 10), events), max_size=40))
def test_it_never_runs_twice_nor_after_a_stop(steps):
    at, _ = begin(0.0)
    now, running, stopped = 0.0, True, False
    for wait, event in steps:
        if isinstance(event, Exited):
            if not running:
                continue  # what is not there cannot exit
            running = False
        now += wait
        stopped = stopped or isinstance(event, Stop)
        at, action = advance(at, event, now)
        if action is Action.SPAWN:
            assert not running
            assert not stopped
            running = True
        if action in {Action.KILL, Action.TERMINATE}:
            assert running
        assert at.running == running
        assert (at.state is State.STOPPED) == stopped


@pytest.mark.parametrize("state", list(State))
def test_states_are_those_of_the_status(state):
    assert state.value in {"STARTING", "LIVE", "RESTARTING", "STOPPED"}
