"""Bodies that are served no more: kept by content, within bounds, and never those of secrets."""

from tsunagu.serve.xds.history.superseded import ENTRY_BYTES, Content, Superseded
from tsunagu.xds import wire
from tsunagu.xds.resources import CDS, SDS, Resource


def resource(name: str, content: str = "1", url: str = CDS) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


def content(one: Resource) -> Content:
    return Content(one.type_url, one.name, one.version)


def test_a_body_is_found_by_its_content_and_not_copied():
    store, one = Superseded(), resource("a")
    store.keep(one)
    store.keep(None)

    assert store.get(content(one)) is one.body
    assert store.get(content(resource("a", "2"))) is None
    assert store.bytes == ENTRY_BYTES + len(one.body)


def test_the_oldest_go_first_and_what_goes_again_is_new():
    bodies = [resource(name) for name in "abcd"]
    weight = ENTRY_BYTES + len(bodies[0].body)
    store = Superseded(limit=3 * weight)
    for one in (*bodies[:3], bodies[0], bodies[3]):
        store.keep(one)

    assert [store.get(content(one)) is not None for one in bodies] == [True, False, True, True]
    assert store.bytes == 3 * weight


def test_what_is_larger_than_all_that_may_be_kept_is_not():
    store, one = Superseded(limit=ENTRY_BYTES + 10), resource("a", "x" * 20)
    store.keep(one)

    assert (store.get(content(one)), store.bytes) == (None, 0)


def test_a_secret_is_not_kept():
    store, one = Superseded(), resource("key", url=SDS)
    store.keep(one)

    assert (store.get(content(one)), store.bytes) == (None, 0)
