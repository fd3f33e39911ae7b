"""A service with backends: its proxies see these alone, hear of nothing else, and of what Routes of these lead to."""

import pytest

from tests.unit.translate.test_costs import Mesh, delete, put, task
from tests.unit.translate.test_traffic_costs import written
from tsunagu.testing import objects as o
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

PART = "ns/shop/only/s1,s2"
CALLER = "default/caller/a1"


class Seen(Mesh):
    """A mesh that keeps what is in each bundle."""

    def __init__(self, size, monkeypatch):
        self.bundles = {}
        super().__init__(size, monkeypatch)

    def note(self, updates):
        for update in updates:
            held = self.bundles.setdefault(update.bundle, {})
            held.update({(one.type_url, one.name): one for one in update.upserts})
            for key in update.removals:
                del held[key]  # what is removed was there

    def names(self, bundle, type_url):
        return {name for kind, name in self.bundles.get(bundle, {}) if kind == type_url}


def caller(*backends):
    revision = o.revision(CALLER)
    revision.service_revision.backends.extend(backends)
    return [o.service("default/caller", "a1"), revision, o.task("default/caller-1", CALLER, "10.9.99.1")]


@pytest.fixture
def mesh(monkeypatch):
    made = Seen(10, monkeypatch)
    made.apply([put(one) for one in caller("s1", "s2")])
    return made


def test_its_proxies_see_the_part_in_the_namespaces_place(mesh):
    assert mesh.view.scope("default/caller-1") == ("override/shop", PART, f"rev/{CALLER}")


def test_the_part_has_its_backends_and_what_everybody_has(mesh):
    assert mesh.names(PART, CDS) == {"blackhole", "svc/shop/s1", "svc/shop/s2"}
    assert mesh.names(PART, EDS) == {"svc/shop/s1", "svc/shop/s2"}
    aliases = {f"alias/shop/{name}:80" for name in ("s1", "s1.shop", "s2", "s2.shop")}
    assert mesh.names(PART, LDS) == {"capture", *aliases}
    assert mesh.names(PART, RDS) == aliases


def test_it_has_the_same_resources_as_the_namespace(mesh):
    assert all(mesh.bundles["ns/shop"][key].body == one.body for key, one in mesh.bundles[PART].items())


def test_a_change_of_a_backend_is_encoded_once_for_both_and_another_is_not_heard_of(mesh):
    work = mesh.apply([put(task(1, copy=2))])
    assert (work.encoded, work.bundles) == ({EDS: 1}, ["ns/shop", PART])
    work = mesh.apply([put(task(7, copy=2))])
    assert (work.encoded, work.bundles) == ({EDS: 1}, ["ns/shop"])


def test_where_a_route_of_a_backend_leads_is_seen_as_long_as_it_leads_there(mesh):
    lead = "{kind: Route, name: shop/lead, alias: s1, action: {weightedTargets: [{target: s1}, {target: s5}]}}"
    mesh.apply(written(lead))
    assert mesh.names(PART, CDS) == {"blackhole", "svc/shop/s1", "svc/shop/s2", "svc/shop/s5"}
    assert "svc/shop/s5" in mesh.names(PART, EDS)
    assert "alias/shop/s5:80" not in mesh.names(PART, LDS)
    assert mesh.apply([put(task(5, copy=2))]).bundles == ["ns/shop", PART]
    mesh.apply([("Route", "shop/lead", None, None)])
    assert mesh.names(PART, CDS) == {"blackhole", "svc/shop/s1", "svc/shop/s2"}


def test_a_backend_that_comes_later_is_seen_when_it_comes(mesh):
    part = "ns/shop/only/late"
    mesh.apply([put(one) for one in caller("late")])
    assert mesh.names(part, CDS) == {"blackhole"}
    assert PART not in {bundle for bundle, held in mesh.bundles.items() if held}
    late = [
        o.service("default/late", "d1"),
        o.revision("default/late/d1", o.port("late")),
        o.address("late", "127.255.9.9"),
    ]
    mesh.apply([put(one) for one in late])
    assert mesh.names(part, CDS) == {"blackhole", "svc/shop/late"}
    assert mesh.names(part, LDS) == {"capture", "alias/shop/late:80"}


def test_the_part_goes_with_the_last_service_that_has_it(mesh):
    mesh.apply([delete(one) for one in caller("s1", "s2")])
    assert mesh.bundles[PART] == {}


def test_services_with_the_same_backends_share_it(mesh):
    other = [
        o.service("default/other", "a1"),
        o.revision("default/other/a1"),
        o.task("default/other-1", "default/other/a1", "10.9.99.2"),
    ]
    other[1].service_revision.backends.extend(("s1", "s2"))
    work = mesh.apply([put(one) for one in other])
    assert work.encoded == {}
    assert mesh.view.scope("default/other-1")[1] == PART
    mesh.apply([delete(one) for one in caller("s1", "s2")])
    assert mesh.names(PART, CDS) == {"blackhole", "svc/shop/s1", "svc/shop/s2"}
