"""AWS's wire protocols: which operation a request is for, what its body says, and how an answer or an error is written.

The one rule: a protocol knows shapes, not services: the same four functions serve every service of its kind. JSON 1.1 and RPC v2
CBOR are here.

Sources: Smithy documentation, "AWS JSON 1.1 protocol", "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import base64
import json
import re
from abc import ABC, abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import cbor2

from tsunagu.aws.errors import AwsError
from tsunagu.aws.protocols import shapes
from tsunagu.aws.protocols.shapes import Unreadable
from tsunagu.kit.http_server import Answer

if TYPE_CHECKING:
    from botocore.model import Shape

    from tsunagu.kit.http_server import Request

_PATH: Final = re.compile(r"/service/([A-Za-z0-9_]{1,100})/operation/([A-Za-z0-9_]{1,100})")
_EPOCH_TAG: Final = 1


class Protocol(ABC):
    """How one protocol reads requests and writes answers."""

    content_type: str
    headers: tuple[tuple[str, str], ...] = ()

    @abstractmethod
    def operation(self, request: Request) -> tuple[str, str]:
        """Return (target prefix of the service, name of the operation). Raises AwsError when it names none."""

    @abstractmethod
    def read(self, body: bytes) -> Any:
        """Return the body as values. Raises Unreadable."""

    @abstractmethod
    def write(self, shape: Shape | None, value: Any) -> bytes:
        """Return the body of an answer; `shape` None: the value is made of texts alone."""

    @abstractmethod
    def error_type(self, code: str, namespace: str) -> str:
        """Return what `__type` of an error says; `namespace`: that of the service's model."""

    def answer(self, shape: Shape | None, value: Any) -> Answer:
        """Return a successful answer."""
        return Answer(HTTPStatus.OK, self.write(shape, value), self.content_type, self.headers)

    def refusal(self, error: AwsError, shape: Any, namespace: str = "") -> Answer:
        """Return the answer for an error; `shape`: its own in the service's model, if it has one."""
        members = shape.members if shape is not None else {}
        named = next((name for name in members if name.lower() == "message"), "message")
        metadata = shape.metadata if shape is not None else {}
        status = metadata.get("error", {}).get("httpStatusCode", error.status)
        value = {"__type": self.error_type(error.code, namespace), named: error.message, **error.members}
        return Answer(status, self.write(None, value), self.content_type, self.headers)


class Json11(Protocol):
    """AWS JSON 1.1: POST /, the operation in X-Amz-Target."""

    content_type = "application/x-amz-json-1.1"

    def operation(self, request: Request) -> tuple[str, str]:
        service, _, name = request.header("x-amz-target").rpartition(".")
        kind = request.header("content-type").partition(";")[0].strip().lower()
        if not service or request.method != "POST" or request.target.partition("?")[0] != "/":
            raise AwsError(
                "UnknownOperationException", "A request is a POST of / with an X-Amz-Target.", HTTPStatus.NOT_FOUND
            )
        if kind != self.content_type:
            raise Unreadable(f"The content type must be {self.content_type}.")
        return service, name

    def read(self, body: bytes) -> Any:
        try:
            return json.loads(body) if body else {}
        except (ValueError, RecursionError) as error:
            raise Unreadable("The body is no JSON.") from error

    def write(self, shape: Shape | None, value: Any) -> bytes:
        plain = value if shape is None else shapes.write(shape, value, _json_scalar)
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()

    def error_type(self, code: str, namespace: str) -> str:
        return code


class CborRpc(Protocol):
    """Smithy RPC v2 CBOR: the service and the operation are in the path."""

    content_type = "application/cbor"
    headers = (("smithy-protocol", "rpc-v2-cbor"),)

    def operation(self, request: Request) -> tuple[str, str]:
        found = _PATH.fullmatch(request.target.partition("?")[0])
        if found is None or request.method != "POST":
            raise AwsError(
                "UnknownOperationException",
                "A request is a POST of /service/NAME/operation/NAME.",
                HTTPStatus.NOT_FOUND,
            )
        if request.body and request.header("content-type") != self.content_type:
            raise Unreadable(f"The content type must be {self.content_type}.")
        return found[1], found[2]

    def read(self, body: bytes) -> Any:
        try:
            return cbor2.loads(body) if body else {}
        except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise Unreadable("The body is no CBOR.") from error

    def write(self, shape: Shape | None, value: Any) -> bytes:
        plain = value if shape is None else shapes.write(shape, value, _cbor_scalar)
        encoded: bytes = cbor2.dumps(plain)
        return encoded

    def error_type(self, code: str, namespace: str) -> str:
        return f"{namespace}#{code}" if namespace else code


def _json_scalar(kind: str, value: Any) -> Any:
    return base64.b64encode(value).decode() if kind == "blob" else value


def _cbor_scalar(kind: str, value: Any) -> Any:
    return cbor2.CBORTag(_EPOCH_TAG, value) if kind == "timestamp" else value


JSON_11: Final = Json11()
CBOR_RPC: Final = CborRpc()


def of(request: Request) -> Protocol:
    """Return the protocol that a request speaks."""
    return CBOR_RPC if request.header("smithy-protocol") == "rpc-v2-cbor" else JSON_11
