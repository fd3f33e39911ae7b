"""A FrozenMap is a dict that never changes."""

from hypothesis import given
from hypothesis import strategies as st

from tsunagu.mesh.frozenmap import FrozenMap, NestedDraft

KEYS = st.text(max_size=3)
EDITS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers())))


@given(EDITS, EDITS)
def test_it_holds_what_a_dict_would_and_its_ancestor_what_it_held(first, second):
    before = _edited(FrozenMap(), first)
    snapshot = dict(before)
    after = _edited(before, second)
    assert before == snapshot
    assert after == _reference(snapshot, second)
    assert len(after) == len(dict(after))


def test_it_grows_to_any_size_and_shares_what_was_not_written():
    large = FrozenMap.of({str(number): number for number in range(10_000)})
    assert dict(large) == {str(number): number for number in range(10_000)}
    draft = large.draft()
    draft["7"] = -7
    changed = draft.seal()
    shared = {id(shard) for shard in large._shards} & {id(shard) for shard in changed._shards}
    assert len(shared) == len(large._shards) - 1
    assert (large["7"], changed["7"]) == (7, -7)


def test_a_draft_without_a_write_is_what_it_came_from():
    base = FrozenMap.of({"a": 1})
    draft = base.draft()
    assert draft.discard("b") is None
    assert draft.seal() is base


def test_an_inner_map_that_is_empty_is_not_there():
    draft = NestedDraft(FrozenMap())
    draft.inner("x")["a"] = 1
    draft.inner("y")["b"] = 2
    base = draft.seal()
    draft = NestedDraft(base)
    draft.inner("x").discard("a")
    after = draft.seal()
    assert list(after) == ["y"]
    assert after["y"] is base["y"]


def _edited(base, edits):
    draft = base.draft()
    for key, value in edits:
        if value is None:
            draft.discard(key)
        else:
            draft[key] = value
    return draft.seal()


def _reference(base, edits):
    expected = dict(base)
    for key, value in edits:
        if value is None:
            expected.pop(key, None)
        else:
            expected[key] = value
    return expected
