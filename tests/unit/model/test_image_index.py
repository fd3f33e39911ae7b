"""The index finds what trying every pattern finds, and tries few of them."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from tsunagu.model import ids, image_index
from tsunagu.model.image_index import ImageIndex
from tsunagu.v1 import objects_pb2


def index(patterns) -> ImageIndex:
    return ImageIndex({one: ids.make("Image", one, objects_pb2.Image(pattern=one)) for one in patterns})


@given(st.lists(st.text("ab/:*?[]", min_size=1, max_size=6), unique=True), st.text("ab/:", max_size=8))
def test_it_finds_what_trying_all_finds(patterns, reference):
    fitting = [(len(one), one) for one in patterns if fnmatchcase(reference, one)]
    assert index(patterns).matching(reference) == (max(fitting)[1] if fitting else "")


def test_of_many_patterns_few_are_tried(monkeypatch):
    tried = []
    monkeypatch.setattr(image_index, "fnmatchcase", lambda name, one: tried.append(one) or fnmatchcase(name, one))
    many = index([f"*service-{number}:*" for number in range(2_000)])
    assert many.matching("registry/shop/service-77:1") == "*service-77:*"
    assert len(tried) < 5
