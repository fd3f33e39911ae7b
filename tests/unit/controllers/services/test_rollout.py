"""ECS's arithmetic of a rolling update, as a table: what runs, and what is started and stopped next."""

import pytest

from tests.unit.controllers.world import NEW, OLD, service, task
from tsunagu.controllers.services.rollout import Limits, limits, roll


def tasks(text):
    """`O` old and RUNNING, `o` old and not yet; `N`, `n` the same of the wanted revision."""
    kinds = {"O": (OLD, "RUNNING"), "o": (OLD, "PENDING"), "N": (NEW, "RUNNING"), "n": (NEW, "PENDING")}
    return [task(index, kinds[char][1], revision=kinds[char][0]) for index, char in enumerate(text)]


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "counts"),
    [
        (4, None, None, (4, 4, 8)),
        (0, None, None, (0, 0, 0)),
        (3, 50, 150, (3, 2, 4)),  # the minimum rounds up, the maximum down
        (1, 50, 150, (1, 1, 1)),
        (2, 0, 100, (2, 0, 2)),
        (2, 100, 50, (2, 2, 2)),  # less than desiredCount could never be reached
        (2, 150, 200, (2, 2, 4)),
    ],
)
def test_percentages_are_counts_of_tasks(desired, minimum, maximum, counts):
    spec = service(desired, minimum=minimum, maximum=maximum).service.spec
    limit = limits(spec)
    assert (limit.desired, limit.minimum, limit.maximum) == counts


def test_a_service_that_says_no_count_wants_one_task():
    spec = service().service.spec
    spec.ClearField("desired_count")
    assert limits(spec).desired == 1


@pytest.mark.parametrize(
    ("limit", "there", "started", "stopped"),
    [
        # No rollout: fill up, or shrink; what is not admitted yet goes first.
        (Limits(3, 3, 6), "", 3, ""),
        (Limits(3, 3, 6), "Nn", 1, ""),
        (Limits(3, 3, 6), "NNN", 0, ""),
        (Limits(1, 1, 2), "NnN", 0, "nN"),
        (Limits(0, 0, 0), "NOn", 0, "NOn"),
        # 100 / 200: all the new at once, then one old for each new that is admitted.
        (Limits(2, 2, 4), "OO", 2, ""),
        (Limits(2, 2, 4), "OOnn", 0, ""),
        (Limits(2, 2, 4), "OONn", 0, "O"),
        (Limits(2, 2, 4), "ONN", 0, "O"),
        # 100 / 150: one more than desired at a time.
        (Limits(2, 2, 3), "OO", 1, ""),
        (Limits(2, 2, 3), "OOn", 0, ""),
        (Limits(2, 2, 3), "OON", 0, "O"),
        # 50 / 100: there is no room, so old ones make room, down to the minimum.
        (Limits(4, 2, 4), "OOOO", 0, "OO"),
        (Limits(4, 2, 4), "OO", 2, ""),
        (Limits(4, 2, 4), "OOnn", 0, ""),
        (Limits(4, 2, 4), "OONN", 0, "OO"),
        # 100 / 100 leaves no move.
        (Limits(1, 1, 1), "O", 0, ""),
        # An old one that serves nobody is in the way.
        (Limits(2, 2, 4), "Oo", 2, "o"),
        (Limits(1, 1, 1), "o", 0, "o"),
        # Scaled down and replaced at once.
        (Limits(2, 2, 4), "OOOO", 0, "OO"),
    ],
)
def test_the_next_moves(limit, there, started, stopped):
    found = tasks(there)
    decision = roll(limit, NEW, found)
    letters = {each.meta.name: char for each, char in zip(found, there, strict=True)}
    assert decision.start == started
    assert sorted(letters[each.meta.name] for each in decision.stop) == sorted(stopped)


def test_what_was_told_to_stop_and_still_runs_takes_up_the_maximum():
    assert roll(Limits(2, 0, 2), NEW, [], ending=2).start == 0
    assert roll(Limits(2, 0, 2), NEW, [], ending=1).start == 1


def test_while_no_task_may_be_started_none_makes_room():
    assert roll(Limits(2, 0, 2), NEW, tasks("OO"), may_start=False).stop == ()


def test_full_nodes_are_a_lack_of_room_too():
    assert len(roll(Limits(2, 1, 4), NEW, tasks("OO"), vacancies=0).stop) == 1
    assert roll(Limits(2, 2, 4), NEW, tasks("OO"), vacancies=0).stop == ()


def test_scaling_down_evens_out_the_nodes_and_keeps_the_oldest():
    found = [task(0, node="a"), task(1, node="a"), task(2, node="a"), task(3, node="b")]
    assert [each.meta.name[-1] for each in roll(Limits(2, 2, 4), NEW, found).surplus] == ["2", "1"]


def test_scaling_down_evens_out_the_zones_before_the_nodes():
    """Three tasks in zone a on three nodes, two in b on one: one of a goes first."""
    found = [task(0, node="n0"), task(1, node="n1"), task(2, node="n2"), task(3, node="n3"), task(4, node="n3")]
    for each, zone in zip(found, "aaabb", strict=True):
        each.task.spec.zone = zone
    assert [each.meta.name[-1] for each in roll(Limits(3, 3, 6), NEW, found).surplus] == ["2", "4"]
