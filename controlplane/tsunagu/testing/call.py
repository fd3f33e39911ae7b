"""Calls as the apps of a mesh make them: from inside a task, by a short name; and what a command in a task said.

Rule: a call from a task is made by a process in that task's network, with its hosts file; nothing is resolved or routed
by the test kit.
"""

import base64
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from tsunagu.kit.http import Exchange, HttpError, Response
from tsunagu.testing.target import Target

_CHUNK = 64 * 1024

# Run in the task by whatever python3 there is. One JSON object on stdout: an answer, or "error" with the reason.
_SCRIPT = """
import base64, json, sys, urllib.error, urllib.request
ask = json.loads(sys.argv[1])
body = base64.b64decode(ask["body"]) if ask["body"] is not None else None
request = urllib.request.Request(ask["url"], data=body, method=ask["method"], headers=ask["headers"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    try:
        answer = opener.open(request, timeout=ask["timeout"])
    except urllib.error.HTTPError as refused:
        answer = refused
    said = {"status": answer.status, "headers": dict(answer.headers.items()),
            "body": base64.b64encode(answer.read()).decode()}
except OSError as error:
    said = {"error": str(getattr(error, "reason", error))}
print(json.dumps(said))
"""


class CallFailed(Exception):
    """There was no HTTP answer: no such name, no connection, or no answer in time."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a command in a task said; `exit_code` is 128 + signal when it was killed by one."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """What it wrote to stdout, without the last newline."""
        return self.stdout.decode(errors="replace").rstrip("\n")


@dataclass(frozen=True, slots=True)
class Ask:
    """An HTTP request. `timeout` in seconds, of each wait for the other side."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0


def command(ask: Ask) -> list[str]:
    """What to run in a task to make the request there."""
    body = None if ask.body is None else base64.b64encode(ask.body).decode()
    said = {"url": ask.url, "method": ask.method, "body": body, "headers": dict(ask.headers), "timeout": ask.timeout}
    return ["python3", "-c", _SCRIPT, json.dumps(said)]


def answered(done: Executed, ask: Ask) -> Response:
    """The answer that the command printed. Raises CallFailed."""
    try:
        said = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.decode(errors="replace").strip()
        raise CallFailed(f"{ask.method} {ask.url}: the caller ended with {done.exit_code}: {words}") from None
    if "error" in said:
        raise CallFailed(f"{ask.method} {ask.url}: {said['error']}")
    headers = {name.lower(): value for name, value in said["headers"].items()}
    return Response(said["status"], headers, base64.b64decode(said["body"]))


def direct(ask: Ask, connect: tuple[str, int]) -> Response:
    """Makes the request from here, to the address `connect`. Raises CallFailed.

    Blocking, since a test that calls may itself run on an event loop.
    """
    target, exchange, response = Target.parse(ask.url, connect), Exchange(), None
    try:
        with socket.create_connection(target.address, ask.timeout) as connection:
            connection.sendall(exchange.send(target.request(ask.method, ask.body or b"", ask.headers)))
            while response is None:
                response = exchange.receive(connection.recv(_CHUNK))
    except (OSError, HttpError) as error:
        raise CallFailed(f"{ask.method} {ask.url}: {type(error).__name__}: {error}") from error
    return response
