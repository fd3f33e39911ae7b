"""What a task says of TLS at a port, step by step, in each direction and from each step in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.model.identity.modes import MODES, OFF, PERMISSIVE, STRICT
from tsunagu_node.task.calls.tls_plan import Led, Said, Seen, at_rest, following, led

NOTHING, READY, ALONE = Said(), Said(ready=True), Said(ready=True, alone=True)
ALL = Seen(identity=True, plain=True, tls=True, fresh=False, settled=True, plain_connections=0, tls_connections=0)


@pytest.mark.parametrize(
    ("mode", "said", "seen", "after", "waits_for"),
    [
        (OFF, NOTHING, ALL, NOTHING, ""),
        (PERMISSIVE, NOTHING, ALL, READY, ""),
        (PERMISSIVE, NOTHING, ALL._replace(tls=False), NOTHING, "its TLS ingress is not active yet"),
        (PERMISSIVE, NOTHING, ALL._replace(identity=False), NOTHING, "it has no identity yet"),
        (PERMISSIVE, READY, ALL, READY, ""),
        (STRICT, NOTHING, ALL, READY, ""),
        (STRICT, READY, ALL, ALONE, ""),
        (STRICT, READY, ALL._replace(settled=False), READY, "not all proxies have acknowledged it"),
        (STRICT, READY, ALL._replace(plain_connections=2), READY, "its plain ingress has 2 open connections"),
        (
            STRICT,
            READY,
            ALL._replace(plain_connections=None),
            READY,
            "it is not known how many connections its plain ingress has",
        ),
        (STRICT, READY, ALL._replace(plain=False, plain_connections=None), ALONE, ""),
        (STRICT, READY, ALL._replace(fresh=True, settled=False, plain_connections=None), ALONE, ""),
        (STRICT, ALONE, ALL, ALONE, ""),
        (PERMISSIVE, ALONE, ALL._replace(plain=False), ALONE, "its plain ingress is not active yet"),
        (PERMISSIVE, ALONE, ALL, READY, ""),
        (OFF, ALONE, ALL, READY, ""),
        (OFF, READY, ALL, NOTHING, ""),
        (OFF, READY, ALL._replace(settled=False), READY, "not all proxies have acknowledged it"),
        (OFF, READY, ALL._replace(tls_connections=1), READY, "its TLS ingress has 1 open connection"),
    ],
)
def test_a_step(mode, said, seen, after, waits_for):
    assert following(mode, said, seen) == (after, waits_for)


SEEN = st.builds(Seen, *[st.booleans()] * 5, *[st.sampled_from([None, 0, 1])] * 2)


@given(st.lists(st.tuples(st.sampled_from(MODES), SEEN)))
def test_whatever_happens_a_task_has_an_ingress_to_which_callers_may_be_led(course):
    said = NOTHING
    for mode, seen in course:
        after, _ = following(mode, said, seen)
        assert after.ready or not after.alone
        if after.ready and not said.ready:
            assert seen.tls
            assert seen.identity
        if said.alone and not after.alone:
            assert seen.plain
        if (after.alone and not said.alone and not seen.fresh) or (said.ready and not after.ready):
            assert seen.settled
        said = after


@given(st.sampled_from(MODES), st.sampled_from([NOTHING, READY, ALONE]))
def test_in_a_mesh_that_answers_every_mode_is_reached_in_two_steps(mode, said):
    for _ in range(2):
        said, _waits = following(mode, said, ALL)
    assert at_rest(mode, said)


@pytest.mark.parametrize(
    ("mode", "said", "to"),
    [
        (OFF, NOTHING, Led()),
        (OFF, READY, Led()),
        (OFF, ALONE, Led(15400, alone=True)),
        (PERMISSIVE, NOTHING, Led()),
        (PERMISSIVE, READY, Led(15400)),
        (STRICT, NOTHING, Led()),
        (STRICT, READY, Led(15400)),
        (STRICT, ALONE, Led(15400, alone=True)),
        (None, NOTHING, Led()),
        (None, READY, Led(15400)),
        (None, ALONE, Led(15400, alone=True)),
    ],
)
def test_a_caller_is_led_to_where_it_is_taken(mode, said, to):
    assert led(mode, said, 15400) == to
