"""The addresses of an External are endpoints; DNS names are resolved by proxies, so they are part of its cluster."""

import pytest

from tests.unit.mesh.test_registered import change
from tsunagu.mesh.rows import Outside, Tls
from tsunagu.mesh.traffic.model import Destination
from tsunagu.mesh.view import View
from tsunagu.translate import clusters, endpoints
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.v1 import external_pb2, objects_pb2
from tsunagu.xds.resources import CDS, EDS, LDS, RDS


def external(*addresses, name="shop/db", **members):
    return change("External", name, external_pb2.External(addresses=addresses, **members))


def address(dns_name, port):
    body = objects_pb2.VirtualAddress(namespace="shop", dns_name=dns_name, ip="127.255.0.9", births={port: 3})
    return change("VirtualAddress", f"shop/{dns_name}", body)


@pytest.fixture
def view():
    return View.empty().apply([external("192.0.2.1:5432", "192.0.2.2:5432"), address("db", 5432)], 3)[0]


def test_addresses_are_endpoints(view):
    assert view.endpoints("shop", "db") == (("192.0.2.1", 5432), ("192.0.2.2", 5432))
    assert [(one.dns_name, one.port) for one in view.aliases("shop")] == [("db", 5432), ("db.shop", 5432)]
    assert view.port("shop", "db").row.outside == Outside()


def test_a_program_of_this_machine_has_an_address_that_tasks_reach():
    view, _ = View.empty().apply([external("host.tsunagu.internal:5432")], 3)
    assert view.endpoints("shop", "db") == (("169.254.88.1", 5432),)


def test_a_change_of_addresses_touches_endpoints_alone(view):
    after, touched = view.apply([external("192.0.2.2:5432", "192.0.2.3:5432")], 4)
    assert after.endpoints("shop", "db") == (("192.0.2.2", 5432), ("192.0.2.3", 5432))
    [update] = translate(view, after, touched, Codec())
    assert [(one.type_url, one.name) for one in update.upserts] == [(EDS, "svc/shop/db")]
    assert update.removals == ()


def test_with_a_dns_name_all_addresses_are_part_of_the_cluster():
    view, _ = View.empty().apply([external("a.example:5432", "192.0.2.1:5432")], 3)
    to = Destination("db")
    assert clusters.inputs(view, "shop", to).outside.resolved == (("192.0.2.1", 5432), ("a.example", 5432))
    assert endpoints.inputs(view, "shop", to) is None
    assert view.endpoints("shop", "db") == ()


TLS = external_pb2.ExternalTls(ca_certificates="PEM")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (external("a.example:443"), external("b.example:443")),
        (external("a.example:443"), external("a.example:443", tls=TLS)),
        (external("192.0.2.1:443"), external("a.example:443")),
        (external("192.0.2.1:443", app_protocol="http"), external("192.0.2.1:80", app_protocol="http", tls=TLS)),
    ],
)
def test_no_listener_is_touched_by_a_change_of_addresses_or_tls(before, after):
    alias = [external_pb2.ExternalAlias(dns_name="db", port=5432)]
    for _, _, _, obj in (before, after):
        del obj.external.aliases[:]
        obj.external.aliases.extend(alias)
    old, _ = View.empty().apply([before, address("db", 5432)], 3)
    new, touched = old.apply([after], 4)
    changed = {one.type_url for update in translate(old, new, touched, Codec()) for one in update.upserts}
    assert CDS in changed
    assert LDS not in changed


def test_tls_says_which_names_the_certificate_may_have(view):
    names = external_pb2.ExternalTls(server_name="a.example", subject_alt_names=["b.example"])
    after, _ = view.apply([external("192.0.2.1:1", tls=names)], 4)
    assert after.port("shop", "db").row.outside.tls == Tls("a.example", ("b.example",), "")


def test_a_deleted_external_has_no_name_left(view):
    after, touched = view.apply([change("External", "shop/db", None)], 4)
    assert after.ports("shop") == after.aliases("shop") == []
    assert after.endpoints("shop", "db") == ()
    assert not len(after.tables.tasks)
    assert ("shop", "db", 5432) in touched.aliases


def test_it_has_no_proxy_no_ingress_and_is_no_service(view):
    _, touched = View.empty().apply([external("192.0.2.1:5432")], 3)
    assert (view.expected_proxies(), view.services("shop"), touched.revisions) == ([], [], set())


def test_requests_are_for_the_name_of_the_outside_if_it_has_one():
    """A server on the internet answers by the host that it is asked for; one at an IP address is asked as the app asks."""
    for given, own in (("a.example:80", True), ("192.0.2.1:80", False)):
        view, _ = View.empty().apply([external(given, app_protocol="http"), address("db", 80)], 3)
        [rule] = view.table(view.alias("shop", "db", 80))
        assert rule.action.by_own_name is own
        assert RDS in {one.type_url for one in _made(view)}


def _made(view):
    touched = View.empty().apply([external("a.example:80", app_protocol="http"), address("db", 80)], 3)[1]
    return [one for update in translate(View.empty(), view, touched, Codec()) for one in update.upserts]
