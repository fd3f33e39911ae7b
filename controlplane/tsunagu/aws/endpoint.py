"""The one HTTP endpoint for AWS's APIs: from a request to the operation that it is for, and back.

The one rule is the order: guard, signature, then the rest. Nobody without the mesh's key learns even which operations there are,
and an error of whatever kind is answered in the protocol of the request.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from tsunagu.aws import guard
from tsunagu.aws.errors import AwsError
from tsunagu.aws.protocols import protocol, shapes
from tsunagu.aws.service import Call
from tsunagu.aws.signatures.verify import verify
from tsunagu.kit.log import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from botocore.model import OperationModel

    from tsunagu.aws.protocols.protocol import Protocol
    from tsunagu.aws.service import Service
    from tsunagu.aws.signatures.keys import KeyPair
    from tsunagu.kit.http_server import Answer, Request

log = get("web.aws")


@dataclass(frozen=True, slots=True)
class _Target:
    """The operation that a request is for."""

    service: Service
    name: str
    model: OperationModel


class Endpoint:
    """Answers for `services`; `host` and `port` are where it listens. `clock`: seconds since the epoch."""

    def __init__(
        self, services: Iterable[Service], keys: KeyPair, at: tuple[str, int], clock: Callable[[], float] = time.time
    ) -> None:
        self._services = {service.target_prefix: service for service in services}
        self._keys = keys
        self._host, self._port = at
        self._clock = clock

    async def handle(self, request: Request) -> Answer:
        """Return the answer to a request, whatever it is."""
        spoken = protocol.of(request)
        identifier = str(uuid.uuid4())
        target: _Target | None = None
        try:
            guard.check(request, self._host, self._port)
            scope = verify(request, self._keys, self._clock())
            target = self._target(spoken, request, scope.service)
            answer = await self._answer(spoken, target, request, scope.region)
        except AwsError as error:
            answer = _refusal(spoken, error, target)
        except Exception:
            # The top of a request: what fails in an operation must not end the endpoint.
            log.exception("an operation failed", operation=target.name if target else "", request=identifier)
            failed = AwsError("InternalFailure", "The request failed.", HTTPStatus.INTERNAL_SERVER_ERROR)
            answer = _refusal(spoken, failed, target)
        return replace(answer, headers=(*answer.headers, ("x-amzn-requestid", identifier)))

    def _target(self, spoken: Protocol, request: Request, signed_for: str) -> _Target:
        prefix, name = spoken.operation(request)
        service = self._services.get(prefix)
        model = service.operation_model(name) if service else None
        if service is None or model is None:
            known = ", ".join(sorted(one.name for one in self._services.values()))
            raise AwsError("UnknownOperationException", f"There is no {prefix}.{name} here; the services are: {known}.")
        wanted = service.model.signing_name
        if signed_for != wanted:
            raise AwsError(
                "InvalidSignatureException",
                f"Credential should be scoped to correct service: '{wanted}'.",
                HTTPStatus.FORBIDDEN,
            )
        return _Target(service, name, model)

    async def _answer(self, spoken: Protocol, target: _Target, request: Request, region: str) -> Answer:
        operation = target.service.operations.get(target.name)
        if operation is None:
            raise AwsError(
                "UnsupportedOperationException", f"{target.name} is not answered here.", HTTPStatus.NOT_IMPLEMENTED
            )
        body = spoken.read(request.body)
        shape = target.model.input_shape
        parameters = shapes.read(shape, body, target.service.invalid) if shape is not None else {}
        result = await operation(Call(target.name, parameters, region))
        return spoken.answer(target.model.output_shape, result)


def _refusal(spoken: Protocol, error: AwsError, target: _Target | None) -> Answer:
    if target is None:
        return spoken.refusal(error, None)
    return spoken.refusal(error, target.service.error_shape(target.name, error.code), target.service.namespace)
