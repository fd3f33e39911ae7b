"""One reaction for a burst, and none that waits for ever."""

import pytest

from controlplane.kit.debounce import Debounce


def test_nothing_is_due_while_nothing_has_changed():
    debounce = Debounce(quiet=1, longest=5)
    assert debounce.deadline is None
    assert debounce.take(100) is False


@pytest.mark.case(127)
def test_a_burst_is_due_once_it_is_quiet_and_only_once():
    debounce = Debounce(quiet=1, longest=5)
    for now in (10.0, 10.5, 11.0):
        debounce.touch(now)
    assert debounce.deadline == 12.0
    assert [debounce.take(now) for now in (11.9, 12.0, 20.0)] == [False, True, False]


@pytest.mark.case(127)
def test_changes_without_end_are_answered_after_the_longest_wait():
    debounce = Debounce(quiet=1, longest=5)
    answered = []
    for tenth in range(100, 220):
        debounce.touch(tenth / 10)
        if debounce.take(tenth / 10):
            answered.append(tenth / 10)
    assert answered == [15.0, 20.1]


def test_a_change_after_the_answer_is_a_new_one():
    debounce = Debounce(quiet=0, longest=0)
    debounce.touch(3.0)
    assert debounce.take(3.0)
    debounce.touch(4.0)
    assert debounce.deadline == 4.0


def test_a_quiet_time_longer_than_the_longest_wait_is_refused():
    with pytest.raises(ValueError, match="quiet <= longest"):
        Debounce(quiet=2, longest=1)
