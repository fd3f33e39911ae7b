"""What is counted of certificates, from the registry: how many tasks have one, who lacks one, and when the first of them ends.

The one rule: by namespace, never by task, so that a scrape costs the same however many tasks there are to show. An Envoy has what
its node agent has reported here: that has checked the file before Envoy saw it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tsunagu.ca.need import DEFAULT
from tsunagu.model.statuses import Status
from tsunagu.serve.xds.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.v1 import objects_pb2

    Objects = Mapping[str, objects_pb2.Object]

_PROXIED: Final = frozenset({Status.ACTIVATING, Status.RUNNING, Status.DEACTIVATING, Status.STOPPING})
_MARK: Final = 16  # digits of a fingerprint, as `tsunagu ca show` has them


def of_tasks(tasks: Iterable[objects_pb2.Object], bundles: Objects, now: float) -> Iterator[Metric]:
    """Yield what is known of the tasks in namespaces with identities; nothing where there is no authority."""
    default = bundles.get(DEFAULT)
    if default is None:
        return
    good, lacking = dict.fromkeys(default.trust_bundle.namespaces, 0), dict.fromkeys(default.trust_bundle.namespaces, 0)
    ends: dict[str, list[float]] = defaultdict(list)
    for obj in tasks:
        namespace, held = obj.task.spec.namespace, obj.task.status.identity
        if namespace not in good or obj.task.status.last_status not in _PROXIED:
            continue
        end = held.not_after.ToSeconds() if held.id else 0
        good[namespace] += end > now
        lacking[namespace] += end <= now
        if held.id:
            ends[namespace].append(end)
    for namespace in sorted(good):
        yield _gauge("identity_certificates", "tasks with a certificate that is good", good[namespace], namespace)
        yield _gauge("identity_lacking", "tasks that are to have one and do not", lacking[namespace], namespace)
        if ends[namespace]:
            what = "when the first of them ends, since the epoch"
            yield _gauge("identity_expires_timestamp_seconds", what, min(ends[namespace]), namespace, "seconds")


def of_authorities(bundles: Objects) -> Iterator[Metric]:
    """Yield when each authority that is trusted ends."""
    for name, obj in sorted(bundles.items()):
        bundle = obj.trust_bundle
        for one in bundle.authorities:
            role = "signs" if one.fingerprint == bundle.signs else "is trusted"
            labels = {"authority": name, "fingerprint": one.fingerprint[:_MARK], "role": role}
            what, end = "when its certificate ends, since the epoch", float(one.not_after.ToSeconds())
            yield Metric("authority_expires_timestamp_seconds", "gauge", "seconds", what, end, labels=labels)


def _gauge(name: str, about: str, value: float, namespace: str, unit: str = "") -> Metric:
    return Metric(name, "gauge", unit, about, float(value), labels={"namespace": namespace})
