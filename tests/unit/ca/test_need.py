"""Which namespaces need identities; a mesh in which nobody speaks TLS loads nothing of what makes them."""

import subprocess
import sys

import pytest

from tsunagu.ca import need
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.v1 import objects_pb2


def namespace(tls):
    return {"Namespace": {"shop": ids.make("Namespace", "shop", objects_pb2.Namespace(tls=tls))}}


@pytest.mark.parametrize(("mode", "found"), [("", []), ("off", []), ("permissive", ["shop"]), ("strict", ["shop"])])
def test_a_namespace_that_speaks_tls_needs_them(mode, found):
    assert need.namespaces(namespace(mode)) == found


def test_one_service_with_tls_is_enough_since_the_others_call_it():
    port = o.port("orders")
    port.tls.SetInParent()
    revision = o.revision("default/orders/a1", port)
    assert need.namespaces({"ServiceRevision": {revision.meta.name: revision}}) == ["shop"]
    plain = o.revision("default/orders/a1", o.port("orders"))
    assert need.namespaces({"ServiceRevision": {plain.meta.name: plain}}) == []


@pytest.mark.parametrize("module", ["tsunagu.app", "tsunagu_node.agent"])
def test_what_makes_keys_is_loaded_only_when_it_is_needed(module):
    code = f"import sys, {module}; sys.exit('cryptography.x509' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
