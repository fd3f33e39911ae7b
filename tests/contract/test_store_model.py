"""Random operations against a model that is a dictionary and a list: state, revisions, history, leases, restarts."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsunagu.registry.store import Compacted, Conflict, Delete, LeaseNotFound, Put
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.registry.stores.sqlite import SqliteStore

KEYS = st.sampled_from(["a", "a/1", "a/2", "b", "b/1"])
LEASES = st.sampled_from(["", "", "", "x", "y"])
EXPECTED = st.sampled_from([None, None, "actual", 0, 1, 3])  # "actual": what the model says

OP = st.one_of(
    st.tuples(st.just("put"), KEYS, EXPECTED, st.sampled_from([b"", b"1", b"2"]), LEASES),
    st.tuples(st.just("delete"), KEYS, EXPECTED),
)
STEP = st.one_of(
    st.tuples(st.just("commit"), st.lists(OP, max_size=3, unique_by=lambda op: op[1])),
    st.tuples(st.just("commit"), st.lists(OP, max_size=3, unique_by=lambda op: op[1])),
    st.tuples(st.sampled_from(["grant", "revoke", "keep"]), st.sampled_from(["x", "y"])),
    st.tuples(st.just("pass"), st.integers(1, 6)),
    st.tuples(st.just("compact"), st.integers(0, 3)),
    st.tuples(st.just("reopen")),
)
TTL = 5


class Model:
    """The contract in the simplest words."""

    def __init__(self):
        self.now, self.compacted = 0.0, 0
        self.state = {}  # key -> (value, revision, created, lease)
        self.history = []  # (revision, {key: None or the above})
        self.leases = {}  # id -> end

    @property
    def revision(self):
        return len(self.history)

    def actual(self, key):
        return self.state[key][1] if key in self.state else 0

    def commit(self, ops):
        changes, revision = {}, self.revision + 1
        for kind, key, expected, *put in ops:
            if expected is not None and expected != self.actual(key):
                raise Conflict(key, expected, self.actual(key))
            if kind == "delete":
                changes |= {key: None} if key in self.state else {}
                continue
            value, lease = put
            if lease and lease not in self.leases:
                raise LeaseNotFound(lease)
            before = self.state.get(key)
            if not before or (before[0], before[3]) != (value, lease):
                changes[key] = (value, revision, before[2] if before else revision, lease)
        return self.apply(changes)

    def apply(self, changes):
        if changes:
            self.history.append((self.revision + 1, changes))
            self.state = {key: entry for key, entry in (self.state | changes).items() if entry}
        return self.revision

    def revoke(self, lease):
        if lease not in self.leases:
            raise LeaseNotFound(lease)
        del self.leases[lease]
        return self.apply({key: None for key in sorted(self.state) if self.state[key][3] == lease})

    def keep(self, lease):
        if lease not in self.leases:
            raise LeaseNotFound(lease)
        self.leases[lease] = self.now + TTL

    def grant(self, lease):
        self.leases[lease] = self.now + TTL

    def second(self):
        self.now += 1
        for lease in sorted((one for one, end in self.leases.items() if end <= self.now), key=self.leases.get):
            self.revoke(lease)

    def compact(self, back):
        self.compacted = max(self.compacted, self.revision - back)

    def reopen(self):
        self.leases = dict.fromkeys(self.leases, self.now + TTL)


class Subject:
    """A store under test, driven by the same steps."""

    def __init__(self, model, folder):
        self.model, self.path = model, folder and Path(folder) / "registry.db"

    async def open(self):
        clock = lambda: self.model.now  # noqa: E731
        self.store = await SqliteStore.open(self.path, clock=clock) if self.path else MemoryStore(clock=clock)

    async def reopen(self):
        if self.path:
            await self.store.close()
            await self.open()

    async def commit(self, ops):
        made = [Put(op[1], op[3], op[2], op[4]) if op[0] == "put" else Delete(op[1], op[2]) for op in ops]
        return await self.store.commit(made)

    async def outcome(self, call):
        try:
            return await call
        except (Conflict, LeaseNotFound) as error:
            return str(error)


def outcome(call):
    try:
        return call()
    except (Conflict, LeaseNotFound) as error:
        return str(error)


async def take(subject, model, step):
    """One step in both; they must answer alike."""
    what, *rest = step
    if what == "commit":
        ops = [(*op[:2], model.actual(op[1]) if op[2] == "actual" else op[2], *op[3:]) for op in rest[0]]
        assert await subject.outcome(subject.commit(ops)) == outcome(lambda: model.commit(ops))
    elif what == "grant":
        await subject.store.grant(rest[0], TTL)
        model.grant(rest[0])
    elif what == "revoke":
        assert await subject.outcome(subject.store.revoke(rest[0])) == outcome(lambda: model.revoke(rest[0]))
    elif what == "keep":
        expected = outcome(lambda: model.keep(rest[0])) or TTL
        assert await subject.outcome(subject.store.keep_alive(rest[0])) == expected
    elif what == "pass":
        for _ in range(rest[0]):
            model.second()
            await subject.store.expire()
    elif what == "compact":
        await subject.store.compact(model.revision - rest[0])
        model.compact(rest[0])
    elif subject.path:
        await subject.reopen()
        model.reopen()


async def compare(subject, model, prefix):
    listing = await subject.store.list(prefix)
    found = {entry.key: (entry.value, entry.revision, entry.created, entry.lease) for entry in listing.entries}
    assert found == {key: entry for key, entry in model.state.items() if key.startswith(prefix)}
    assert listing.revision == model.revision
    assert [entry.key for entry in listing.entries] == sorted(found)
    await compare_history(subject, model, prefix)


async def compare_history(subject, model, prefix):
    if model.compacted:
        with pytest.raises(Compacted):
            subject.store.watch(prefix, model.compacted - 1)
    watch = subject.store.watch(prefix, model.compacted)
    for revision, changes in model.history[model.compacted :]:
        mine = {key: entry for key, entry in changes.items() if key.startswith(prefix)}
        if not mine:
            continue
        async with asyncio.timeout(60):
            commit = await anext(watch)
        assert commit.revision == revision
        assert [change.key for change in commit.changes] == list(mine)
        for change in commit.changes:
            entry = change.entry
            assert (entry and (entry.value, entry.revision, entry.created, entry.lease)) == mine[change.key]


async def scenario(folder, steps, prefix):
    model = Model()
    subject = Subject(model, folder)
    await subject.open()
    try:
        for step in steps:
            await take(subject, model, step)
        await compare(subject, model, prefix)
        if folder:
            await subject.reopen()
            model.reopen()
            await compare(subject, model, prefix)
    finally:
        await subject.store.close()


PREFIX = st.sampled_from(["", "a", "a/", "b/1", "none"])


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=30), PREFIX)
def test_memory_does_what_the_model_does(steps, prefix):
    asyncio.run(scenario(None, steps, prefix))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=30), PREFIX)
def test_sqlite_does_what_the_model_does_and_still_does_after_a_restart(steps, prefix):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(folder, steps, prefix))
