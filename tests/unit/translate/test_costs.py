"""What a change costs, in counts instead of seconds: the same among ten services and among a hundred.

A number here may fall; one that rises is a change that costs more than it did.
"""

from collections import Counter
from dataclasses import dataclass

import pytest

from tsunagu.mesh.frozenmap import Draft, FrozenMap
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.xds.resources import CDS, EDS, LDS, RDS


@dataclass(frozen=True)
class Work:
    """What one change costs, from the View to the bundles."""

    encoded: dict[str, int]  # type URL -> resources
    bundles: list[str]  # those that get an update
    touched: int  # names whose resources are compared
    rows_written: int  # entries of the View's tables
    rows_read: int  # of the old View and the new


class Mesh:
    """A namespace with `size` services of one task each; every service has two aliases. `zones`: those of its node."""

    def __init__(self, size, monkeypatch, zones=()):
        self.codec = Codec()
        self.rows = Counter()
        self.view = View.empty()
        self.apply([put(one) for one in (o.namespace(), o.node(zones=zones))])
        self.apply([put(one) for number in range(size) for one in service(number)])
        self._count(monkeypatch, FrozenMap, "__getitem__", "read")
        self._count(monkeypatch, Draft, "__setitem__", "written")
        self._count(monkeypatch, Draft, "discard", "written")

    def _count(self, monkeypatch, owner, method, kind):
        called = getattr(owner, method)

        def counted(*arguments):
            self.rows[kind] += 1
            return called(*arguments)

        monkeypatch.setattr(owner, method, counted)

    def apply(self, changes) -> Work:
        self.codec.encoded.clear()
        self.rows.clear()
        view, touched = self.view.apply(changes, self.view.revision + 1)
        updates = translate(self.view, view, touched, self.codec)
        self.view = view
        self.note(updates)
        rows = dict(self.rows)
        return Work(
            encoded=dict(self.codec.encoded),
            bundles=[update.bundle for update in updates],
            touched=len(touched),
            rows_written=rows.get("written", 0),
            rows_read=rows.get("read", 0),
        )

    def note(self, updates) -> None:
        """For those who look at what the updates hold."""


def put(obj):
    return ids.kind_of(obj), obj.meta.name, None, obj


def delete(obj):
    return ids.kind_of(obj), obj.meta.name, obj, None


def revision_name(number, digest="a1"):
    return f"default/s{number}/{digest}"


def port(number, **settings):
    return o.port(f"s{number}", aliases=[(f"s{number}", 80), (f"s{number}.shop", 80)], **settings)


def service(number):
    return [
        o.service(f"default/s{number}", "a1"),
        o.revision(revision_name(number), port(number)),
        task(number),
        o.address(f"s{number}", f"127.255.1.{number}"),
        o.address(f"s{number}.shop", f"127.255.2.{number}"),
    ]


def task(number, copy=1, **status):
    return o.task(f"default/s{number}-{copy}", revision_name(number), f"10.9.{number}.{copy}", **status)


@pytest.fixture(params=[10, 100])
def mesh(request, monkeypatch):
    return Mesh(request.param, monkeypatch)


def test_an_endpoint_that_comes(mesh):
    assert mesh.apply([put(task(7, copy=2))]) == Work(
        encoded={EDS: 1}, bundles=["ns/shop"], touched=1, rows_written=7, rows_read=30
    )


def test_an_endpoint_that_goes(mesh):
    mesh.apply([put(task(7, copy=2))])
    assert mesh.apply([delete(task(7, copy=2))]) == Work(
        encoded={EDS: 1}, bundles=["ns/shop"], touched=1, rows_written=7, rows_read=30
    )


def test_a_task_that_does_not_serve_yet(mesh):
    assert mesh.apply([put(task(7, copy=2, last_status="PENDING"))]) == Work(
        encoded={}, bundles=[], touched=0, rows_written=7, rows_read=6
    )


def test_a_service_with_other_timeouts(mesh):
    changed = o.revision(revision_name(7, "b2"), port(7, per_request_timeout_seconds=60, idle_timeout_seconds=90))
    assert mesh.apply([put(changed), put(o.service("default/s7", "b2"))]) == Work(
        encoded={CDS: 2, LDS: 1, RDS: 2},
        bundles=["ns/shop", "rev/default/s7/b2"],
        touched=6,
        rows_written=12,
        rows_read=148,
    )


def test_a_service_that_comes(mesh):
    assert mesh.apply([put(one) for one in service(200)]) == Work(
        encoded={CDS: 2, EDS: 1, LDS: 3, RDS: 2},
        bundles=["ns/shop", "rev/default/s200/a1"],
        touched=6,
        rows_written=22,
        rows_read=98,
    )


def test_a_service_that_goes(mesh):
    assert mesh.apply([delete(one) for one in service(7)]) == Work(
        encoded={}, bundles=["ns/shop", "rev/default/s7/a1"], touched=6, rows_written=22, rows_read=96
    )


def test_a_virtual_ip_that_comes(mesh):
    address = o.address("s7", "127.255.1.7")
    mesh.apply([delete(address)])
    assert mesh.apply([put(address)]) == Work(
        encoded={LDS: 1, RDS: 1}, bundles=["ns/shop"], touched=1, rows_written=2, rows_read=46
    )


def test_the_first_gateway_of_a_namespace(mesh):
    assert mesh.apply([put(o.gateway_task("default/side-1", namespace="side"))]) == Work(
        encoded={CDS: 1, LDS: 1}, bundles=["ns/side"], touched=1, rows_written=5, rows_read=6
    )


# -- zones ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[10, 100])
def zoned(request, monkeypatch):
    mesh = Mesh(request.param, monkeypatch, zones=("a", "b", "c"))
    mesh.apply([put(task(7, copy, zone="abc"[copy - 1])) for copy in (1, 2, 3)])
    return mesh


def test_with_zones_an_endpoint_that_comes_is_one_assignment_and_one_for_each_zone(zoned):
    assert zoned.apply([put(task(7, copy=4, zone="a"))]) == Work(
        encoded={EDS: 4},
        bundles=["ns/shop", "zone/shop/a", "zone/shop/b", "zone/shop/c"],
        touched=1,
        rows_written=7,
        rows_read=170,
    )


def test_a_zone_has_no_assignment_of_its_own_for_what_is_served_in_one_place(zoned):
    assert zoned.apply([put(task(8, copy=1, zone="a"))]).bundles == ["ns/shop"]
    assert zoned.apply([put(task(8, copy=2, zone="a"))]).bundles == ["ns/shop"]


def test_one_zone_is_preferred_to_nothing(request, monkeypatch):
    mesh = Mesh(10, monkeypatch, zones=("a",))
    assert mesh.apply([put(task(7, copy=2, zone="a"))]).bundles == ["ns/shop"]


def test_a_second_zone_gives_each_zone_what_it_prefers_and_its_end_takes_that_away(monkeypatch):
    mesh = Mesh(10, monkeypatch, zones=("a",))
    mesh.apply([put(o.node("n2")), put(task(7, copy=1, zone="a")), put(task(7, copy=2, zone="b", node="n2"))])
    work = mesh.apply([put(o.node("n2", zones=("b",)))])
    assert work.bundles == ["ns/shop", "zone/shop/a", "zone/shop/b"]
    assert work.encoded == {EDS: 2, RDS: 20}  # with zones, a retry of any route goes to other priorities
    assert mesh.apply([delete(o.node("n2"))]).bundles == ["ns/shop", "zone/shop/a", "zone/shop/b"]
