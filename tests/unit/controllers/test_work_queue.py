"""The queue's invariants, by example and under any order of calls."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tsunagu.controllers.work_queue import KeyQueue
from tsunagu.kit.backoff import Backoff

BACKOFF = Backoff(base=1, cap=8)


def test_keys_leave_in_the_order_in_which_they_came_and_once():
    queue = KeyQueue(BACKOFF)
    for key in ("b", "a", "b", "c"):
        queue.add(key)
    assert len(queue) == 3
    assert [queue.get(0) for _ in range(4)] == ["b", "a", "c", None]


def test_a_key_named_while_it_is_processed_is_processed_again_and_not_before():
    queue = KeyQueue(BACKOFF)
    queue.add("a")
    queue.get(0)
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"


def test_a_key_that_comes_back_queues_behind_the_others():
    queue = KeyQueue(BACKOFF)
    queue.add("busy")
    queue.get(0)
    queue.add("other")
    queue.add("busy")
    queue.done("busy")
    assert [queue.get(0), queue.get(0)] == ["other", "busy"]


def test_of_several_delays_the_earliest_counts_and_fires_once():
    queue = KeyQueue(BACKOFF)
    for at in (7.0, 3.0, 5.0):
        queue.add_at("a", at)
    assert queue.deadline == 3.0
    assert [queue.get(now) for now in (2.9, 3.0)] == [None, "a"]
    queue.done("a")
    assert queue.deadline is None
    assert queue.get(100) is None


def test_a_failing_key_waits_longer_each_time_until_it_succeeds():
    queue = KeyQueue(BACKOFF)
    assert [queue.retry("a", 0) for _ in range(5)] == [1, 2, 4, 8, 8]
    assert queue.failures("a") == 5
    queue.forget("a")
    assert queue.retry("a", 0) == 1


class Machine(RuleBasedStateMachine):
    """Against the plainest model: per key, whether it is owed a processing that begins after it was named."""

    keys = st.sampled_from("abcd")

    def __init__(self):
        super().__init__()
        self.queue = KeyQueue(BACKOFF)
        self.now = 0.0
        self.owed = set()
        self.due = {}
        self.out = []

    @rule(key=keys)
    def add(self, key):
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=keys, after=st.integers(0, 5))
    def add_later(self, key, after):
        self.queue.add_at(key, self.now + after)
        self.due[key] = min(self.due.get(key, self.now + after), self.now + after)

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def get(self):
        ripe = {key for key, at in self.due.items() if at <= self.now}
        self.owed |= ripe
        self.due = {key: at for key, at in self.due.items() if key not in ripe}
        key = self.queue.get(self.now)
        available = self.owed - set(self.out)
        if key is None:
            assert available == set()
            return
        assert key in available
        self.owed.remove(key)
        self.out.append(key)

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 9), failed=st.booleans())
    def done(self, pick, failed):
        key = self.out.pop(pick % len(self.out))
        if failed:
            at = self.now + self.queue.retry(key, self.now)
            self.due[key] = min(self.due.get(key, at), at)
        else:
            self.queue.forget(key)
        self.queue.done(key)

    @invariant()
    def the_deadline_is_that_of_the_earliest(self):
        assert self.queue.deadline == min(self.due.values(), default=None)

    def teardown(self):
        """Nothing that was ever named is lost: it all comes out in the end."""
        for key in self.out:
            self.queue.done(key)
        left = set()
        while (key := self.queue.get(self.now + 100)) is not None:
            left.add(key)
            self.queue.done(key)
        assert left == self.owed | set(self.due)
        assert self.queue.idle


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, deadline=None)
