"""A client of Envoy's admin interface on its unix socket.

Rule: no request may wait or grow without limit: a hung Envoy costs its caller a timeout, a huge answer an error. Every
request has its own connection, so that nothing is left behind whatever happens. Envoy shows its bootstrap with the task's
token in it (/config_dump): tokens are redacted here, where every answer passes.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tsunagu.kit import http
from tsunagu.kit.tokens import TOKEN

MAX_BODY = 64 * 1024 * 1024
_FLUSH_SECONDS = 0.05  # Envoy's workers merge their histograms after it has answered, and nothing tells when they have
_TOKEN = re.compile(TOKEN.pattern.encode())


class AdminError(Exception):
    """Envoy's admin interface did not answer as it should."""


class AdminUnreachable(AdminError):
    """Nobody listens at the socket, or no answer came in time: Envoy is not up, or hangs."""


@dataclass(frozen=True, slots=True)
class Response:
    """Envoy's answer to one request. `content_type` is empty when there was none."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """Return the body as a JSON value. Raises AdminError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AdminError(f"expected JSON from Envoy, got {self.body[:80]!r}") from error


class Admin:
    """Asks the Envoy whose admin socket is at `path`. `timeout` (seconds) limits each request as a whole."""

    def __init__(self, path: str, *, timeout: float = 2.0, max_body: int = MAX_BODY) -> None:
        self.path = path
        self._timeout = timeout
        self._max_body = max_body

    async def request(self, method: str, target: str, *, timeout: float | None = None) -> Response:
        """Send one request. Raises AdminUnreachable or AdminError; a status other than 200 is an answer, not an error."""
        if not target.startswith("/") or not target.isprintable() or " " in target:
            raise AdminError(f"{target!r} is no path of the admin interface; one is '/stats?format=json'")
        with self._errors(method, target):
            answer = await http.ask(
                self.path,
                http.Request(target, method, host="envoy"),
                timeout=timeout or self._timeout,
                max_body=self._max_body,
            )
        return _response(answer)

    async def flushed(self, flush: str, target: str) -> Any:
        """Return the JSON of `target` as it is a moment after a request for `flush`, both on one connection. Raises AdminError."""
        connection = http.HttpConnection(self.path, max_body=self._max_body)
        try:
            async with asyncio.timeout(self._timeout):
                await self._on(connection, flush, keep=True)
                await asyncio.sleep(_FLUSH_SECONDS)
                response = await self._on(connection, target, keep=False)
        except TimeoutError as error:
            raise AdminUnreachable(f"no answer from Envoy at {self.path} to GET {target} in time") from error
        finally:
            connection.close()
        return _checked("GET", target, response).json()

    async def _on(self, connection: http.HttpConnection, target: str, *, keep: bool) -> Response:
        headers = {} if keep else {"connection": "close"}
        with self._errors("GET", target):
            answer = await connection.request(
                http.Request(target, host="envoy", headers=headers), timeout=self._timeout
            )
        return _response(answer)

    async def ready(self) -> bool:
        """Return whether Envoy is LIVE: it has its first configuration. False, too, when it cannot be reached."""
        with suppress(AdminUnreachable):
            return (await self.request("GET", "/ready")).status == 200
        return False

    async def listeners(self) -> tuple[str, ...]:
        """Return the names of active listeners; one that still warms is not active."""
        answer = (await self._get("/listeners?format=json")).json()
        return tuple(status["name"] for status in answer.get("listener_statuses", ()))

    async def stats(self, pattern: str = "") -> Mapping[str, int]:
        """Return counters and gauges whose names match the regular expression `pattern` (all, when empty)."""
        query = f"&filter={quoted(pattern)}" if pattern else ""
        answer = (await self._get(f"/stats?format=json{query}")).json()
        return {stat["name"]: stat["value"] for stat in answer["stats"] if isinstance(stat.get("value"), int)}

    async def config_dump(self, query: str = "") -> Any:
        """Return the configuration as Envoy has it, e.g. `query` 'resource=dynamic_listeners' or 'include_eds'."""
        return (await self._get(f"/config_dump?{query}" if query else "/config_dump")).json()

    async def clusters(self) -> Any:
        """Return clusters with their hosts and the health of each, as JSON."""
        return (await self._get("/clusters?format=json")).json()

    async def server_info(self) -> Any:
        """Return state, version and command line of Envoy, as JSON."""
        return (await self._get("/server_info")).json()

    async def post(self, target: str) -> Response:
        """Send a request that changes something, e.g. '/drain_listeners?graceful&inboundonly'. Raises on a refusal."""
        return _checked("POST", target, await self.request("POST", target))

    @contextmanager
    def _errors(self, method: str, target: str) -> Iterator[None]:
        """Make AdminErrors of what can go wrong with a request."""
        try:
            yield
        except TimeoutError as error:
            raise AdminUnreachable(f"no answer from Envoy at {self.path} to {method} {target} in time") from error
        except OSError as error:
            raise AdminUnreachable(f"Envoy at {self.path} cannot be reached: {error}") from error
        except http.ResponseTooLarge as error:
            words = f"Envoy's answer is longer than {self._max_body} bytes; ask for less (a filter)"
            raise AdminError(words) from error
        except http.HttpError as error:
            raise AdminError(f"expected an HTTP/1.1 response from Envoy: {error}") from error

    async def _get(self, target: str) -> Response:
        return _checked("GET", target, await self.request("GET", target))


def _response(answer: http.Response) -> Response:
    return Response(answer.status, answer.headers.get("content-type", ""), _TOKEN.sub(b"[redacted]", answer.body))


def _checked(method: str, target: str, response: Response) -> Response:
    if response.status != 200:
        text = response.body[:200].decode(errors="replace").strip()
        raise AdminError(f"Envoy answered {method} {target} with {response.status}: {text}")
    return response


def quoted(pattern: str) -> str:
    """Return a regular expression as the value of a query's parameter."""
    # Only what would end the query's value; Envoy decodes percent escapes.
    escapes = {"%": "%25", "&": "%26", "+": "%2B", "#": "%23", " ": "%20"}
    return "".join(escapes.get(character, character) for character in pattern)
