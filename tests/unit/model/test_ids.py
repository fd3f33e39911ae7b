"""Kinds, keys and names."""

import pytest

from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


def test_every_body_of_an_object_is_a_kind():
    fields = objects_pb2.Object.DESCRIPTOR.oneofs_by_name["body"].fields
    assert {field.name: field.message_type.name for field in fields} == {
        one.field: one.name for one in ids.KINDS.values()
    }


@pytest.mark.parametrize("kind", ids.KINDS)
def test_an_object_knows_its_kind_and_its_key_leads_back(kind: str):
    obj = ids.make(kind, "some/name", ids.kind(kind).message())
    assert ids.kind_of(obj) == kind
    assert isinstance(ids.body(obj), ids.kind(kind).message)
    key = ids.key(kind, "some/name")
    assert key.startswith(ids.prefix(kind))
    assert ids.parse_key(key) == (kind, "some/name")


def test_what_an_object_holds_is_a_copy():
    body = objects_pb2.Image(pattern="a")
    obj = ids.make("Image", "a", body)
    body.pattern = "b"
    assert obj.image.pattern == "a"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ids.key("Pod", "a"),
        lambda: ids.parse_key("services/"),
        lambda: ids.parse_key("pods/a"),
        lambda: ids.body(objects_pb2.Object()),
        lambda: ids.make("Image", "a", objects_pb2.Service()),
    ],
)
def test_what_is_of_no_kind(wrong):
    with pytest.raises(ids.UnknownKindError):
        wrong()


@pytest.mark.parametrize(
    ("text", "resource", "name"),
    [
        ("shop", "cluster", "shop"),
        ("arn:aws:ecs:eu-west-1:1:cluster/shop", "cluster", "shop"),
        ("arn:aws:ecs:eu-west-1:1:service/shop/web", "service", "shop/web"),
        ("arn:aws:other", "cluster", "arn:aws:other"),
    ],
)
def test_the_name_in_an_arn(text: str, resource: str, name: str):
    assert ids.arn_tail(text, resource) == name


def test_the_id_of_a_task_is_fit_for_a_directory_and_a_host_whatever_its_owner_is_called():
    assert ids.task_id_for("orders", "3k9d0a2f") == "orders-3k9d0a2f"
    assert ids.task_id_for("s" * 48, "3k9d0a2f") == "s" * 48 + "-3k9d0a2f"
    one, other = (ids.task_id_for("s" * 254 + end, "3k9d0a2f") for end in "xy")
    assert len(one) == len(other) == 57
    assert one != other
