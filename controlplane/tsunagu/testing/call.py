"""Calls as the apps of a mesh make them: from inside a task, by a short name; and the output of commands in a task.

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
    outcome = {"status": answer.status, "headers": dict(answer.headers.items()),
               "body": base64.b64encode(answer.read()).decode()}
except OSError as error:
    outcome = {"error": str(getattr(error, "reason", error))}
print(json.dumps(outcome))
"""


class CallFailed(Exception):
    """There was no HTTP answer: no such name, no connection, or no answer in time."""


@dataclass(frozen=True, slots=True)
class Executed:
    """The outcome of a command in a task; `exit_code` is 128 + signal when a signal killed it."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its stdout, without the last newline."""
        return self.stdout.decode(errors="replace").rstrip("\n")


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request. `timeout` in seconds, of each wait for the other side."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0


def command(call: Call) -> list[str]:
    """The command that makes the request when it is run in a task."""
    body = None if call.body is None else base64.b64encode(call.body).decode()
    request = {
        "url": call.url,
        "method": call.method,
        "body": body,
        "headers": dict(call.headers),
        "timeout": call.timeout,
    }
    return ["python3", "-c", _SCRIPT, json.dumps(request)]


def answered(done: Executed, call: Call) -> Response:
    """The response that the command has printed. Raises CallFailed."""
    try:
        outcome = json.loads(done.stdout)
    except ValueError:
        output = done.stderr.decode(errors="replace").strip()
        raise CallFailed(f"{call.method} {call.url}: the caller ended with {done.exit_code}: {output}") from None
    if "error" in outcome:
        raise CallFailed(f"{call.method} {call.url}: {outcome['error']}")
    headers = {name.lower(): value for name, value in outcome["headers"].items()}
    return Response(outcome["status"], headers, base64.b64decode(outcome["body"]))


def direct(call: Call, connect: tuple[str, int]) -> Response:
    """Makes the request from here, to the address `connect`. Raises CallFailed.

    Blocking, since a test that calls may itself run on an event loop.
    """
    target, exchange, response = Target.parse(call.url, connect), Exchange(), None
    try:
        with socket.create_connection(target.address, call.timeout) as connection:
            connection.sendall(exchange.send(target.request(call.method, call.body or b"", call.headers)))
            while response is None:
                response = exchange.receive(connection.recv(_CHUNK))
    except (OSError, HttpError) as error:
        raise CallFailed(f"{call.method} {call.url}: {type(error).__name__}: {error}") from error
    return response
