"""The few requests to the engine that need no event loop: those of the janitor, and the question whether it answers at all.

Rule: standard library only, and quick to import, since the janitor lives as long as the mesh.
"""

import http.client
import json
import socket
from typing import Any, Final
from urllib.parse import quote

_TIMEOUT: Final = 30.0
_QUICK: Final = 5.0


class Refused(Exception):
    """The engine answered with a status of 400 or more."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(path: str, method: str, target: str, timeout: float = _TIMEOUT, body: Any = None) -> Any:
    """Return the answer's JSON value, None when there is none. Raises OSError and Refused."""
    connection = _Connection(path, timeout)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, target, text, {"Content-Type": "application/json"} if text else {})
        answer = connection.getresponse()
        said = answer.read()
    except http.client.HTTPException as error:
        raise OSError(0, f"no HTTP answer: {error}", path) from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise Refused(answer.status, said.decode(errors="replace"))
    return json.loads(said) if said.strip() else None


def filtered(target: str, label: str, more: str = "") -> str:
    """Return the target of a list of what has the label."""
    return f"{target}?{more}filters={quote(json.dumps({'label': [label]}))}"


def version(path: str) -> Any:
    """Return the answer to /version. Raises OSError and Refused."""
    return call(path, "GET", "/version", _QUICK)
