"""A change costs what it changes, and whatever the road, the same mesh gives the same bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsunagu.mesh.indexes import Touched
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

ORDERS, DB = "default/orders/a1", "default/db/b1"


def change(obj):
    return (ids.kind_of(obj), obj.meta.name, None, obj)


def shop():
    return [
        o.namespace(),
        o.node(),
        o.service("default/orders", "a1"),
        o.revision(ORDERS, o.port("orders")),
        o.task("default/orders-1", ORDERS, "10.9.0.2"),
        o.service("default/db", "b1"),
        o.revision(DB, o.port("db", app_protocol="tcp", aliases=[("db", 5432)])),
        o.task("default/db-1", DB, "10.9.0.3"),
        o.address("orders", "127.255.0.1"),
        o.address("db", "127.255.0.2"),
    ]


class Follower:
    """Bundles as they are after every update so far."""

    def __init__(self, objects=()):
        self.view = View.empty()
        self.codec = Codec()
        self.resources = {}
        self.apply([change(one) for one in objects])

    def apply(self, changes):
        """(short outcomes) of one step."""
        view, touched = self.view.apply(changes, self.view.revision + 1)
        updates = translate(self.view, view, touched, self.codec)
        self.view = view
        return [outcome for update in updates for outcome in self._absorb(update)]

    def _absorb(self, update):
        for resource in update.upserts:
            self.resources[update.bundle, resource.type_url, resource.name] = resource
            yield resource.type_url, resource.name, "put"
        for type_url, name in update.removals:
            del self.resources[update.bundle, type_url, name]
            yield type_url, name, "gone"


@pytest.mark.case(122, 130)
@pytest.mark.pitfall("P17")
def test_a_change_of_an_endpoint_encodes_one_resource():
    mesh = Follower(shop())
    mesh.codec.encoded.clear()
    assert mesh.apply([change(o.task("default/orders-2", ORDERS, "10.9.0.4"))]) == [(EDS, "svc/shop/orders", "put")]
    assert mesh.apply([("Task", "default/orders-1", None, None)]) == [(EDS, "svc/shop/orders", "put")]
    assert mesh.codec.encoded == {EDS: 2}


def test_a_task_that_does_not_serve_yet_changes_nothing():
    mesh = Follower(shop())
    assert mesh.apply([change(o.task("default/orders-2", ORDERS, "10.9.0.4", last_status="PENDING"))]) == []


@pytest.mark.case(130)
@pytest.mark.pitfall("P28")
def test_other_timeouts_touch_no_alias_listener():
    mesh = Follower(shop())
    slow = o.port("orders", per_request_timeout_seconds=60, idle_timeout_seconds=90)
    outcomes = mesh.apply([change(o.revision("default/orders/c3", slow)), change(o.service("default/orders", "c3"))])
    assert outcomes == [
        (CDS, "svc/shop/orders", "put"),
        (RDS, "alias/shop/orders:80", "put"),
        (CDS, "app/default/orders/c3/orders", "put"),
        (LDS, "in/default/orders/c3/orders", "put"),
    ]


def test_another_tcp_timeout_touches_only_the_new_ingress():
    mesh = Follower(shop())
    idle = o.port("db", app_protocol="tcp", aliases=[("db", 5432)], idle_timeout_seconds=5)
    outcomes = mesh.apply([change(o.revision("default/db/c3", idle)), change(o.service("default/db", "c3"))])
    assert outcomes == [(CDS, "app/default/db/c3/db", "put"), (LDS, "in/default/db/c3/db", "put")]


def test_an_alias_appears_with_its_address_and_goes_with_it():
    mesh = Follower([one for one in shop() if one.meta.name != "shop/orders"])
    alias = [(LDS, "alias/shop/orders:80"), (RDS, "alias/shop/orders:80")]
    assert mesh.apply([change(o.address("orders", "127.255.0.1"))]) == [(*one, "put") for one in alias]
    assert mesh.apply([("VirtualAddress", "shop/orders", None, None)]) == [(*one, "gone") for one in alias]


def test_a_tcp_alias_has_no_route():
    assert [key[2] for key in Follower(shop()).resources if key[1] == RDS] == ["alias/shop/orders:80"]


def test_a_cluster_without_tasks_has_an_empty_assignment():
    mesh = Follower(shop())
    mesh.apply([("Task", "default/orders-1", None, None)])
    resource = mesh.resources["ns/shop", EDS, "svc/shop/orders"]
    assert b"10.9" not in resource.body


def test_the_end_of_everything_leaves_nothing():
    mesh = Follower(shop())
    mesh.apply([(ids.kind_of(one), one.meta.name, None, None) for one in shop()])
    assert mesh.resources == {}
    assert mesh.view.tables == View.empty().tables


def test_steps_may_be_offered_together():
    steps = [
        o.task("default/orders-2", ORDERS, "10.9.0.4"),
        o.service("default/orders", "c3"),
        o.address("x", "127.255.0.9"),
    ]
    mesh = Follower(shop())
    start, view, total = mesh.view, mesh.view, Touched()
    for step in steps:
        view, touched = view.apply([change(step)], view.revision + 1)
        total.add(touched)
    together = translate(start, view, total, Codec())
    assert [resource.name for update in together for resource in update.upserts] == ["svc/shop/orders"]


@pytest.mark.case(120)
@pytest.mark.pitfall("P18")
def test_the_order_of_objects_does_not_show():
    expected = Follower(shop()).resources
    for seed in range(5):
        objects = shop()
        random.Random(seed).shuffle(objects)
        assert Follower(objects).resources == expected


def test_a_service_that_comes_while_its_tasks_live_changes_who_provides_a_name():
    """Two services provide one name: the older precedes, and one without an object counts as the oldest."""
    objects = [
        o.revision("default/a/1", o.port("a", app_protocol="http")),
        o.revision("default/b/1", o.port("a", app_protocol="grpc")),
        o.task("default/a-1", "default/a/1", "10.9.0.1"),
        o.task("default/b-1", "default/b/1", "10.9.0.2"),
    ]
    mesh = Follower(objects)
    mesh.apply([change(o.service("default/a", ""))])

    assert mesh.resources == Follower([*objects, o.service("default/a", "")]).resources


REVISIONS = [f"default/{name}" for name in ("a/1", "a/2", "b/1")]
ALIASES = st.lists(st.sampled_from([("a", 80), ("b", 80), ("b", 81), ("c", 80)]), max_size=2, unique=True)


@st.composite
def ports(draw):
    protocol = draw(st.sampled_from(["http", "grpc", "tcp"]))
    return o.port(draw(st.sampled_from(["a", "b"])), app_protocol=protocol, aliases=draw(ALIASES))


@st.composite
def revisions(draw):
    made = draw(st.lists(ports(), max_size=2, unique_by=lambda one: one.port_name))
    return o.revision(
        draw(st.sampled_from(REVISIONS)),
        *made,
        namespace=draw(st.sampled_from(["shop", "other"])),
        created=draw(st.integers(1, 3)),
    )


TASKS = st.builds(
    lambda number, revision, **states: o.task(f"default/t{number}", revision, f"10.9.0.{number}", **states),
    st.integers(1, 4),
    st.sampled_from(REVISIONS),
    last_status=st.sampled_from(["PENDING", "RUNNING", "RUNNING", "STOPPED"]),
    desired_status=st.sampled_from(["RUNNING", "STOPPED"]),
    node=st.sampled_from(["n1", "n2"]),
)
OBJECTS = st.one_of(
    TASKS,
    revisions(),
    st.builds(o.service, st.sampled_from(["default/a", "default/b"]), st.sampled_from(["", "1", "2"])),
    st.builds(o.node, st.sampled_from(["n1", "n2"])),
    st.builds(o.namespace, st.sampled_from(["shop", "other"])),
    st.builds(o.address, st.sampled_from("abc"), st.sampled_from(["127.255.0.1", "127.255.0.2"])),
    st.builds(o.gateway_task, st.sampled_from(["default/g1", "default/t1"]), st.sampled_from(["shop", "other"])),
)
STEPS = st.lists(st.lists(st.tuples(OBJECTS, st.booleans()), min_size=1, max_size=3), max_size=12)


@pytest.mark.case(129, 130)
@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_step_by_step_or_all_at_once_the_mesh_and_its_bytes_are_equal(steps):
    mesh, objects = Follower(), {}
    for step in steps:
        changes = []
        for obj, deleted in step:
            key = (ids.kind_of(obj), obj.meta.name)
            objects.pop(key, None)
            if not deleted:
                objects[key] = obj
            changes.append((*key, None, None if deleted else obj))
        mesh.apply(changes)
    whole = Follower(objects.values())
    assert mesh.view.tables == whole.view.tables
    assert mesh.resources == whole.resources
