"""Turns the difference between two Views into updates of the bundles that proxies see.

Each resource is made from its inputs, a small frozen row read from a View. The one rule: a resource is encoded only if its
inputs differ between the two Views, and then once for all proxies, so the cost of a change depends on what it changes and
not on the size of the mesh. `Codec.encoded` counts it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from tsunagu.mesh import tls as modes
from tsunagu.mesh.access import admissions
from tsunagu.mesh.bundles import (
    gateway_bundle,
    grpc_bundle,
    limited_bundle,
    namespace_bundle,
    revision_bundle,
    traced_bundle,
    zone_bundle,
)
from tsunagu.mesh.traffic.model import Destination
from tsunagu.translate import clusters, endpoints, gateways, grpc_clients, listeners, names, routes
from tsunagu.translate.limited import Parts
from tsunagu.translate.secured import ingress, tls
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, SDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tsunagu.mesh.indexes import Touched
    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.translate.limited import Backends, Seen
    from tsunagu.translate.secured.ingress import Served
    from tsunagu.xds.resources import Resource

    #: bundle, type URL, name, the resource as it is now (None: it is removed)
    Outcome = tuple[str, str, str, Resource | None]

T = TypeVar("T")  # the inputs of a resource


def translate(old: View, new: View, touched: Touched, codec: Codec) -> tuple[BundleUpdate, ...]:
    """Return the updates that bring the bundles of `old` to those of `new`, sorted by bundle name.

    `touched`: the union of what each `View.apply` from `old` to `new` returned.
    """
    upserts: dict[str, list[Resource]] = defaultdict(list)
    removals: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for bundle, type_url, name, resource in _Comparison(old, new, codec).outcomes(touched):
        if resource is None:
            removals[bundle].append((type_url, name))
        else:
            upserts[bundle].append(resource)
    return tuple(
        BundleUpdate(bundle, tuple(upserts[bundle]), tuple(removals[bundle]))
        for bundle in sorted(upserts.keys() | removals.keys())
    )


class _Comparison:
    """Compares the inputs of resources in two Views, and builds those whose inputs differ."""

    def __init__(self, old: View, new: View, codec: Codec) -> None:
        self._views = (old, new)
        self._codec = codec
        self._zones = sorted({*old.zones(), *new.zones()})
        self._parts = Parts(old, new)
        self._part = cache(lambda part: part.build(codec, part.inputs))

    def outcomes(self, touched: Touched) -> Iterator[Outcome]:
        touched = self._parts.also(touched)
        for namespace in sorted(touched.namespaces):
            yield from self._namespace(namespace)
        for namespace in sorted(_that_may_collect(touched)):
            yield from self._collector(namespace)
        for namespace, discovery_name in sorted(touched.ports | touched.endpoints):
            for to in self._destinations(namespace, discovery_name):
                if (namespace, discovery_name) in touched.ports:
                    yield from self._cluster(namespace, to)
                yield from self._endpoints(namespace, to)
        for alias in sorted(touched.aliases):
            yield from self._alias(*alias)
        for revision in sorted(touched.revisions):
            yield from self._revision(revision)
        for service in sorted(touched.access):
            for revision in sorted(self._in_force(service) - touched.revisions):
                yield from self._policies(revision)
        for gateway in sorted(touched.gateways):
            yield from self._gateway(gateway)

    def _namespace(self, namespace: str) -> Iterator[Outcome]:
        """The resources that every namespace has, whatever services are in it."""
        before, after = (view.has_namespace(namespace) or None for view in self._views)
        bundle = namespace_bundle(namespace)
        parts = [(one, self._parts.exists(namespace, one)) for one in self._parts.of(namespace)]
        yield from self._shared(
            (bundle, CDS, names.BLACKHOLE), (before, after), parts, lambda _: clusters.blackhole(self._codec)
        )
        yield from self._shared(
            (bundle, LDS, names.CAPTURE), (before, after), parts, lambda _: listeners.capture(self._codec)
        )
        old, new = (modes.trusted(view.tables, namespace) for view in self._views)
        if (old, new) != (None, None):
            which = (bundle, SDS, names.TRUST)
            yield from self._shared(which, (old, new), parts, lambda it: tls.trust(self._codec, it))

    def _collector(self, namespace: str) -> Iterator[Outcome]:
        """Where the proxies that trace send their spans."""
        bundle = traced_bundle(namespace)
        old, new = (view.collector_peers(namespace) if view.traces(namespace) else None for view in self._views)
        parts = [(one, self._parts.exists(namespace, one)) for one in self._parts.of(namespace)]
        yield from self._shared(
            (bundle, CDS, names.COLLECTOR), (old, new), parts, lambda it: clusters.collector(self._codec, it)
        )
        for name, secured in ((names.COLLECTOR, False), (names.SECURED_COLLECTOR, True)):
            before, after = (view.collectors(namespace, secured=secured) for view in self._views)
            if secured and before is None and after is None:
                continue
            yield from self._shared(
                (bundle, EDS, name), (before, after), parts, partial(endpoints.build, self._codec, name)
            )

    def _destinations(self, namespace: str, discovery_name: str) -> list[Destination]:
        """The clusters of a discovery name: that of all its tasks, and those of revisions that have one in either View."""
        subsets = set[Destination]().union(*(view.subsets(namespace, discovery_name) for view in self._views))
        return [Destination(discovery_name), *sorted(subsets, key=lambda to: to.revision)]

    def _cluster(self, namespace: str, to: Destination) -> Iterator[Outcome]:
        bundle, name = namespace_bundle(namespace), names.destination(namespace, to)
        before, after = (clusters.inputs(view, namespace, to) for view in self._views)
        parts = self._with(namespace, to)
        yield from self._shared((bundle, CDS, name), (before, after), parts, lambda it: clusters.build(self._codec, it))
        old, new = map(grpc_clients.plain_cluster, (before, after))
        if old is not None or new is not None:
            which = (grpc_bundle(namespace), CDS, name)
            yield from self._compare(which, old, new, lambda it: clusters.build(self._codec, it))

    def _endpoints(self, namespace: str, to: Destination) -> Iterator[Outcome]:
        """The assignment for callers that speak plaintext, and beside it that for those that can speak TLS, if some have to."""
        yield from self._assignment(namespace, to, names.destination(namespace, to), secured=False)
        if any(view.secured(namespace, to.discovery_name) for view in self._views):
            yield from self._assignment(namespace, to, names.secured_assignment(namespace, to), secured=True)

    def _assignment(self, namespace: str, to: Destination, name: str, *, secured: bool) -> Iterator[Outcome]:
        before, after = (endpoints.inputs(view, namespace, to, secured=secured) for view in self._views)
        parts, build = self._with(namespace, to), partial(endpoints.build, self._codec, name)
        yield from self._shared((namespace_bundle(namespace), EDS, name), (before, after), parts, build)
        for zone in self._zones:
            old, new = (endpoints.inputs(view, namespace, to, zone, secured=secured) for view in self._views)
            yield from self._compare((zone_bundle(namespace, zone), EDS, name), old, new, build)

    def _alias(self, namespace: str, dns_name: str, port: int) -> Iterator[Outcome]:
        bundle, name = namespace_bundle(namespace), names.alias_listener(namespace, dns_name, port)
        before, after = (listeners.inputs(view, namespace, dns_name, port) for view in self._views)
        parts = self._with_alias(namespace, dns_name, port)
        yield from self._shared(
            (bundle, LDS, name), (before, after), parts, lambda it: listeners.build(self._codec, it)
        )
        traced = (traced_bundle(namespace), LDS, name)
        before, after = map(listeners.traced, self._views, (before, after))
        yield from self._shared(traced, (before, after), parts, lambda it: listeners.build(self._codec, it))
        old, new = (routes.inputs(view, namespace, dns_name, port) for view in self._views)
        yield from self._shared((bundle, RDS, name), (old, new), parts, lambda it: routes.build(self._codec, it))
        yield from self._grpc_alias(namespace, dns_name, port)

    def _grpc_alias(self, namespace: str, dns_name: str, port: int) -> Iterator[Outcome]:
        """An alias as gRPC clients see it. Its listener stays the same for as long as the alias exists."""
        bundle = grpc_bundle(namespace)
        before, after = (grpc_clients.inputs(view, namespace, dns_name, port) for view in self._views)
        name, route = names.grpc_listener(dns_name, port), names.grpc_route(namespace, dns_name, port)
        old, new = grpc_clients.alias_of(before), grpc_clients.alias_of(after)
        yield from self._compare((bundle, LDS, name), old, new, lambda it: grpc_clients.listener(self._codec, it))
        yield from self._compare((bundle, RDS, route), before, after, lambda it: grpc_clients.route(self._codec, it))

    def _gateway(self, gateway: str) -> Iterator[Outcome]:
        """The ports of a gateway that take Routes, and their table."""
        bundle, name = gateway_bundle(gateway), names.gateway_table(gateway)
        before, after = (gateways.ports(view, gateway) for view in self._views)
        for port in sorted(before.keys() | after.keys()):
            which = (bundle, LDS, names.gateway_listener(gateway, port))
            yield from self._compare(
                which, before.get(port), after.get(port), lambda it: gateways.build(self._codec, it)
            )
        old, new = (gateways.table(view, gateway) for view in self._views)
        yield from self._compare((bundle, RDS, name), old, new, lambda it: gateways.build_table(self._codec, it))

    def _revision(self, name: str) -> Iterator[Outcome]:
        """The ingress of a service revision's tasks. Ports are compared one by one, though a revision is immutable: whoever
        may write to the registry can break that promise.
        """
        before, after = (_ports(view.service_revision(name)) for view in self._views)
        bundle = revision_bundle(name)
        for port_name in sorted(before.keys() | after.keys()):
            old, new = before.get(port_name), after.get(port_name)
            cluster, listener = names.app_cluster(name, port_name), names.ingress_listener(name, port_name)
            yield from self._compare((bundle, CDS, cluster), old, new, lambda it: clusters.app(self._codec, *it))
            shown, shows = (ingress.plain(view, one) for view, one in zip(self._views, (old, new), strict=True))
            yield from self._compare(
                (bundle, LDS, listener), shown, shows, lambda it: listeners.ingress(self._codec, *it)
            )
            yield from self._tls_ingress(name, port_name, (old, new))
            was, now = (self._sampled(view, one) for view, one in zip(self._views, (old, new), strict=True))
            yield from self._compare(
                (bundle, RDS, listener), was, now, lambda it: routes.traced_ingress(self._codec, *it)
            )

    def _tls_ingress(
        self, revision: str, port_name: str, served: tuple[Served | None, Served | None]
    ) -> Iterator[Outcome]:
        """The listener at which a port takes TLS, and who is let in there."""
        bundle, name = revision_bundle(revision), names.tls_ingress(revision, port_name)
        old, new = (ingress.secured(view, one) for view, one in zip(self._views, served, strict=True))
        if old is None and new is None:
            return
        yield from self._compare((bundle, LDS, name), old, new, lambda it: listeners.tls_ingress(self._codec, *it))
        yield from self._admission(bundle, (old, new))

    def _in_force(self, service: str) -> set[str]:
        return set().union(*(admissions.revisions_of(view, service) for view in self._views))

    def _policies(self, revision: str) -> Iterator[Outcome]:
        """What the ports of a revision take, by the policies of its service; the revision itself is as before."""
        before, after = (_ports(view.service_revision(revision)) for view in self._views)
        for port_name in sorted(before.keys() | after.keys()):
            served = (before.get(port_name), after.get(port_name))
            old, new = (ingress.secured(view, one) for view, one in zip(self._views, served, strict=True))
            yield from self._admission(revision_bundle(revision), (old, new))

    def _admission(self, bundle: str, secured: tuple[Served | None, Served | None]) -> Iterator[Outcome]:
        """Who, and what, is taken at a port's listener for TLS. Revisions of one service share it."""
        before, after = (ingress.taken(view, one) for view, one in zip(self._views, secured, strict=True))
        for which in sorted(before.keys() | after.keys()):
            yield from self._compare((bundle, *which), before.get(which), after.get(which), self._part)

    @staticmethod
    def _sampled(view: View, served: tuple[RevisionRow, PortRow] | None) -> tuple[RevisionRow, PortRow, float] | None:
        """The inputs of an ingress's route, if it is no part of its listener; the port of a revision that traces."""
        if served is None or not served[0].tracing or served[1].protocol == "tcp":
            return None
        revision, port = served
        return revision, port, view.sampling(revision.namespace, port.discovery_name) or 0.0

    # -- parts of a namespace -------------------------------------------------------------------------------------

    def _with(self, namespace: str, to: Destination) -> Sequence[tuple[Backends, Seen]]:
        return [(one, self._parts.has(namespace, one, to.discovery_name)) for one in self._parts.of(namespace)]

    def _with_alias(self, namespace: str, dns_name: str, port: int) -> Sequence[tuple[Backends, Seen]]:
        parts = self._parts.of(namespace)
        if not parts:
            return ()
        old, new = (view.alias(namespace, dns_name, port) for view in self._views)
        return [(one, self._parts.has_alias(one, old, new)) for one in parts]

    def _shared(
        self,
        which: tuple[str, str, str],
        inputs: tuple[T | None, T | None],
        parts: Sequence[tuple[Backends, Seen]],
        build: Callable[[T], Resource],
    ) -> Iterator[Outcome]:
        """A resource of a namespace's bundle, and the same one in the bundles of those parts that have it."""
        once = cache(build) if parts else build
        yield from self._compare(which, *inputs, once)
        for backends, (before, after) in parts:
            bundle = limited_bundle(which[0], backends)
            old, new = inputs[0] if before else None, inputs[1] if after else None
            yield from self._compare((bundle, *which[1:]), old, new, once)

    @staticmethod
    def _compare(
        which: tuple[str, str, str], before: T | None, after: T | None, build: Callable[[T], Resource]
    ) -> Iterator[Outcome]:
        if before == after:
            return
        yield (*which, None if after is None else build(after))


def _that_may_collect(touched: Touched) -> set[str]:
    """The namespaces whose proxies may send their spans elsewhere than before."""
    names_of = (touched.ports, touched.endpoints, touched.aliases)
    return touched.namespaces.union(*({namespace for namespace, *_ in keys} for keys in names_of))


def _ports(revision: RevisionRow | None) -> dict[str, tuple[RevisionRow, PortRow]]:
    return {port.port_name: (revision, port) for port in revision.ports} if revision is not None else {}
