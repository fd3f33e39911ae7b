"""What is counted of certificates: by namespace, who has a good one and who lacks one, and when the first of them ends."""

from tsunagu.model import ids
from tsunagu.serve.api import certificate_metrics
from tsunagu.testing import objects as o
from tsunagu.v1 import identities_pb2

NOW = 1_000_000.0
REVISION = "default/orders/a1"


def bundle(*namespaces):
    made = identities_pb2.TrustBundle(signs="f" * 64, namespaces=namespaces)
    for mark, end in (("f", 2_000_000), ("e", 1_500_000)):
        made.authorities.add(fingerprint=mark * 64).not_after.FromSeconds(end)
    return {"default": ids.make("TrustBundle", "default", made)}


def task(number, left=None, **states):
    """A task whose certificate is good for so many seconds more; without one, it has none."""
    made = o.task(f"default/orders-{number}", REVISION, f"10.9.0.{number}", **states)
    if left is not None:
        made.task.status.identity.id = "spiffe://tsunagu.local/ns/shop/cluster/default/service/orders"
        made.task.status.identity.not_after.FromSeconds(int(NOW + left))
    return made


def told(tasks, bundles):
    return {(one.name, *one.labels.values()): one.value for one in certificate_metrics.of_tasks(tasks, bundles, NOW)}


def test_each_namespace_with_identities_is_counted():
    tasks = [
        task(1, 600),
        task(2, 60),
        task(3, -5),
        task(4),
        task(5, 1, last_status="STOPPED"),
        task(6, namespace="plain"),
    ]
    assert told(tasks, bundle("bank", "shop")) == {
        ("identity_certificates", "bank"): 0,
        ("identity_lacking", "bank"): 0,
        ("identity_certificates", "shop"): 2,
        ("identity_lacking", "shop"): 2,
        ("identity_expires_timestamp_seconds", "shop"): NOW - 5,
    }


def test_where_nobody_speaks_tls_there_is_nothing():
    assert told([task(1)], {}) == {}
    assert list(certificate_metrics.of_authorities({})) == []


def test_authorities_tell_when_they_end():
    found = {tuple(one.labels.values()): one.value for one in certificate_metrics.of_authorities(bundle("shop"))}
    assert found == {("default", "f" * 16, "signs"): 2_000_000, ("default", "e" * 16, "is trusted"): 1_500_000}
