"""The Identities API: node agents ask for the certificates of their tasks.

The one rule: `ca.issuing` decides; here a decision becomes a status of gRPC, and a refusal is logged with who asked, never with
what was sent. Signing with RSA takes milliseconds, so it happens in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from tsunagu.ca.refusals import Away, BadRequest, NotAuthenticated, NotNeeded, NotYours, Refused, TooOften
from tsunagu.kit import log
from tsunagu.serve.api import certificate_metrics
from tsunagu.serve.xds.metrics import Metric
from tsunagu.v1 import identities_pb2, identities_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.ca.parts import CertificateAuthority
    from tsunagu.registry.informer import Informer

NAME: Final = identities_pb2.DESCRIPTOR.services_by_name["Identities"].full_name
_STATUS: Final = {
    NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    NotYours: grpc.StatusCode.PERMISSION_DENIED,
    NotNeeded: grpc.StatusCode.FAILED_PRECONDITION,
    TooOften: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Away: grpc.StatusCode.UNAVAILABLE,
    BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
}
Context = Any  # grpc.aio.ServicerContext
_log = log.get("ca")


class IdentitiesService(identities_pb2_grpc.IdentitiesServicer):
    """Register it with `register`."""

    def __init__(self, authority: CertificateAuthority, informer: Informer) -> None:
        self._authority = authority
        self._informer = informer
        self._signing = asyncio.Lock()
        self._issued = 0
        self._refused: Counter[str] = Counter()  # by the gRPC status

    def register(self, server: grpc.aio.Server) -> None:
        identities_pb2_grpc.add_IdentitiesServicer_to_server(self, server)

    async def Issue(  # noqa: N802
        self, request: identities_pb2.IssueRequest, context: Context
    ) -> identities_pb2.IssueResponse:
        state = {kind: dict(self._informer.objects(kind)) for kind in ("TrustBundle",)}
        state["Task"] = self._of("Task", request.task)
        spec = state["Task"][request.task].task.spec if state["Task"] else None
        state["ServiceRevision"] = self._of("ServiceRevision", spec.service_revision if spec is not None else "")
        try:
            async with self._signing:
                answer = await asyncio.to_thread(self._authority.issue, request, state)
        except Refused as refusal:
            self._refused[_STATUS[type(refusal)].name] += 1
            _log.warning("no certificate", node=request.node, task=request.task, reason=str(refusal))
            await context.abort(_STATUS[type(refusal)], str(refusal))
            raise AssertionError("abort raises") from refusal
        told = answer.identity
        self._issued += 1
        who = {"task": request.task} if request.task else {"node": request.node}
        _log.info("certificate", **who, id=told.id, serial=told.serial, until=told.not_after.ToJsonString())
        return answer

    def metrics(self) -> Iterator[Metric]:
        """Yield what is known of certificates, and what this control plane has answered."""
        bundles = self._informer.objects("TrustBundle")
        yield from certificate_metrics.of_tasks(self._informer.objects("Task").values(), bundles, time.time())
        yield from certificate_metrics.of_authorities(bundles)
        if bundles:
            yield Metric("identity_issued", "counter", "", "certificates signed", self._issued)
        for status, count in sorted(self._refused.items()):
            labels = {"status": status}
            yield Metric("identity_refused", "counter", "", "requests for one that were refused", count, labels=labels)

    def _of(self, kind: str, name: str) -> dict[str, Any]:
        found = self._informer.get(kind, name) if name else None
        return {} if found is None else {name: found}
