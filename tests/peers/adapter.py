"""Stands between moto's own test suite and an endpoint of ours: what the suite takes for granted of moto's server, and AWS does not do.

Rule: nothing is answered here but the reset. Requests are signed anew (moto's tests sign with keys that everybody knows), and names that AWS's
model refuses (a service with a space, a public domain without a dot) are spelled so that it takes them, and back in the answer.
"""

import json
import re
from collections.abc import Awaitable, Callable

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tsunagu.aws.service import ACCOUNT
from tsunagu.kit import http
from tsunagu.kit.http_server import Answer, Request

#: Names that moto's tests use and AWS's model refuses -> how they are spelled here.
SPELLED = {"my service": "my_service", "n/a": "n_a"}
_ACCOUNT = "123456789012"  # of moto, which its tests name
_PUBLIC = "CreatePublicDnsNamespace"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/([a-z0-9-]+)/")


class Adapter:
    """`endpoint`: the arguments of `boto3.client` for the endpoint. `reset`: takes away all that the last test made."""

    def __init__(self, endpoint: dict[str, str], reset: Callable[[], Awaitable[None]]) -> None:
        self._keys = Credentials(endpoint["aws_access_key_id"], endpoint["aws_secret_access_key"])
        host, _, port = endpoint["endpoint_url"].rpartition("@")[2].rpartition(":")
        self._at = (host, int(port))
        self._reset = reset
        self._back = {spelled: name for name, spelled in SPELLED.items()}

    async def handle(self, request: Request) -> Answer:
        """Answer a request of the suite."""
        if request.target == "/moto-api/reset":
            await self._reset()
            return Answer(200, b'{"status": "ok"}', "application/json")
        target = request.header("x-amz-target")
        body = json.dumps(self._spell(json.loads(request.body or b"{}"), target)).encode()
        region, service = _SCOPE.search(request.header("authorization")).groups()
        answer = await http.ask(self._at, self._signed(target, body, region, service))
        told = json.dumps(_replaced(answer.json(), self._back)).replace(ACCOUNT, _ACCOUNT).encode()
        return Answer(answer.status, told, answer.headers["content-type"])

    def _spell(self, value, target: str):
        spelled = dict(SPELLED)
        if target.endswith(_PUBLIC):
            name = value["Name"]
            spelled[name] = name.replace("_", "-") + ".example"
            self._back[spelled[name]] = name
        return _replaced(value, spelled)

    def _signed(self, target: str, body: bytes, region: str, service: str) -> http.Request:
        host = f"{self._at[0]}:{self._at[1]}"
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        whole = AWSRequest("POST", f"http://{host}/", headers, body)
        SigV4Auth(self._keys, service, region).add_auth(whole)
        return http.Request("/", "POST", host, dict(whole.headers.items()), body)


def _replaced(value, words: dict[str, str]):
    """The value with each text that is one of `words` replaced."""
    if isinstance(value, dict):
        return {key: _replaced(one, words) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, words) for one in value]
    return words.get(value, value) if isinstance(value, str) else value
