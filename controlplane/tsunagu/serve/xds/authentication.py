"""Who a stream is and what it may see: the token of a task decides, not what a client claims to be.

The one rule: whoever was authorized for a task is disconnected when that task may have no proxy any more; what its
namespace has from then on is not for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tsunagu.kit import grpc_bootstrap
from tsunagu.kit.tokens import BadToken, incarnation_of, verify
from tsunagu.serve.xds.ads import PermissionDenied, Scope, Unauthenticated
from tsunagu.xds.bundle import SEE_ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from tsunagu.serve.xds.ads import NodeInfo
    from tsunagu.xds.bundle import Mask

    #: The bundles of a proxy by its name; None when nobody of that name may connect.
    ScopeOf = Callable[[str], tuple[str, ...] | None]
    #: What it does not see of them.
    MaskOf = Callable[[str], Mask]


class Connected(Protocol):
    """What `evict` needs of the xDS server."""

    def connected(self) -> Iterable[str]:
        """The names of the connected proxies."""
        ...

    def evict(self, proxy: str, why: str) -> None:
        """Ends the streams of a proxy."""
        ...


class Authenticator:
    """Knows proxies by the tokens made under ``key``, and what each may see by ``scope_of`` and ``mask_of``."""

    def __init__(self, key: bytes, scope_of: ScopeOf, mask_of: MaskOf = lambda _name: SEE_ALL) -> None:
        self._key = key
        self._scope_of = scope_of
        self._mask_of = mask_of

    def recognize(self, call: Mapping[str, str]) -> bool:
        """Whether the call's metadata prove which task this is; False when there is no token in them.

        Raises Unauthenticated when there is one that is not good.
        """
        token = _bearer(call)
        if token is None:
            return False
        self._verify(token)
        return True

    def authorize(self, call: Mapping[str, str], node: NodeInfo) -> Scope:
        """The scope of a new stream, from the call's metadata and the node that the client claims to be.

        Raises Unauthenticated without a good token, PermissionDenied when its task may have no proxy (any more).
        """
        name, incarnation = incarnation_of(self._verify(_token(call, node)))
        bundles = self._scope_of(name)
        if grpc_bootstrap.parse(name):
            if bundles is None:
                raise PermissionDenied(f"there is no namespace, or no task in it, for the gRPC client {name!r}")
            return Scope(name, bundles, legacy_wildcard=False, mask=self._mask_of(name), shared_identity=True)
        if node.is_grpc:  # what it accepts must not count as its task's Envoy's
            raise PermissionDenied(f"{name!r} is a proxy's name: a gRPC client has a token of its own")
        if bundles is None:
            raise PermissionDenied(f"there is no task {name!r} that has a proxy")
        return Scope(name, bundles, mask=self._mask_of(name), sole=True, incarnation=incarnation)

    def _verify(self, token: str) -> str:
        try:
            return verify(self._key, token)
        except BadToken as error:
            raise Unauthenticated(str(error)) from error


def evict(ads: Connected, scope_of: ScopeOf, changed: Collection[str]) -> None:
    """Disconnects proxies of the ``changed`` tasks that may have no proxy any more, and gRPC clients of such tasks."""
    for proxy in list(ads.connected()) if changed else ():
        name = proxy.partition("#")[0]  # of a shared identity, as its token has it
        concerned = name in changed or name.startswith(grpc_bootstrap.PREFIX)
        if concerned and scope_of(name) is None:
            ads.evict(proxy, f"{name!r} was authorized for a task that has ended")


def _token(call: Mapping[str, str], node: NodeInfo) -> str:
    """Envoys have it in the call's metadata; gRPC's own clients, which cannot, in their node's. Raises Unauthenticated."""
    bearer = _bearer(call)
    if bearer is not None:
        return bearer
    of_node = node.metadata.get(grpc_bootstrap.TOKEN) if node.is_grpc else None
    if not isinstance(of_node, str):
        raise Unauthenticated(
            "a proxy needs `authorization: Bearer TOKEN` with the token of its task, "
            f"a gRPC client node.metadata with {grpc_bootstrap.TOKEN!r}: see 'tsunagu grpc-bootstrap'"
        )
    return of_node


def _bearer(call: Mapping[str, str]) -> str | None:
    scheme, _, token = call.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
