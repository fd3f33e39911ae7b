"""Whom proxies trust: every authority of every trust bundle, until none of its leaves is left."""

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.v1 import identities_pb2


def bundle(name, *certificates, waits_for=""):
    found = [identities_pb2.Authority(certificate=one) for one in certificates]
    body = identities_pb2.TrustBundle(trust_domain="tsunagu.local", authorities=found, waits_for=waits_for)
    return ("TrustBundle", name, None, ids.make("TrustBundle", name, body))


def test_nobody_is_trusted_where_there_is_no_authority():
    assert View.empty().tables.trusted() == ""


def test_all_authorities_in_force_are_trusted_in_an_order_that_does_not_depend_on_their_age():
    view, touched = View.empty().apply([bundle("default", "B\n", "A\n"), bundle("audit", "C\n")], 1)
    assert view.tables.trusted() == "C\nA\nB\n"
    assert touched.trust == {"default", "audit"}
    rotated, _ = view.apply([bundle("default", "A\n", "B\n")], 2)
    assert rotated.tables.trusted() == view.tables.trusted()


def test_how_far_a_rotation_is_touches_nothing():
    view, _ = View.empty().apply([bundle("default", "A\n")], 1)
    _, touched = view.apply([bundle("default", "A\n", waits_for="2 tasks")], 2)
    assert not touched


def test_an_authority_that_is_gone_is_trusted_no_more():
    view, _ = View.empty().apply([bundle("default", "A\n")], 1)
    view, touched = view.apply([("TrustBundle", "default", None, None)], 2)
    assert view.tables.trusted() == ""
    assert touched.trust == {"default"}
