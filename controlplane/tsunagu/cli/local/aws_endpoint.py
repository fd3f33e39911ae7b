"""The endpoint for AWS's APIs as `up` starts it and as commands find it.

Rule: it listens on loopback unless an address is given; without the packages of the extra `aws` nothing is started.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tsunagu.aws.signatures import keys
from tsunagu.cli.errors import CONFLICT, FAILED, USAGE, CliError

if TYPE_CHECKING:
    from tsunagu.settings import Home

_NEEDED = ("botocore", "cbor2")
_LAST_PORT = 65535
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where it listens, if it was told to
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Found:
    """Where the endpoint of a running mesh is, and the key pair for it."""

    host: str
    port: int
    pair: keys.KeyPair

    @property
    def url(self) -> str:
        """The endpoint's URL. The name before the @ is passed over by SDKs that put `data-` in front of the host."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://tsunagu@{shown}:{self.port}"


def parse(text: str) -> tuple[str, int]:
    """Return host and port of `--aws [HOST:]PORT`. Raises CliError, also when what it needs is not installed."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise CliError(f"--aws {text}: {port!r} is no port", USAGE, "write --aws 4577, or --aws 192.168.1.5:4577")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise CliError(f"--aws needs {' and '.join(missing)}", FAILED, "pip install 'tsunagu[aws]'")
    return host.strip("[]") or "127.0.0.1", int(port)


def check_free(host: str, port: int) -> None:
    """Raise CliError when nothing can listen there. Port 0: any free one will do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise CliError(f"--aws {host}:{port}: {error.strerror}", CONFLICT, "name another port") from error


def refuse(home: Home, ip: str, port: int) -> None:
    """Raise CliError when that is where the mesh's own endpoint listens, to which no task is ever led."""
    with suppress(OSError, ValueError):
        at = json.loads(home.aws_endpoint.read_text())
        if port == at["port"] and (ip == at["host"] or ip.startswith("127.") or at["host"] in _ANY):
            raise CliError(f"{ip}:{port} is this mesh's endpoint for AWS's APIs, which no task may call", CONFLICT)


def find(home: Home) -> Found:
    """Return the endpoint of the mesh in that home. Raises CliError when it has none."""
    try:
        at = json.loads(home.aws_endpoint.read_text())
        return Found(str(at["host"]), int(at["port"]), keys.read(home.aws_keys))
    except FileNotFoundError:
        raise CliError(
            f"the mesh in {home.root} has no endpoint for AWS's APIs", FAILED, "start it with `tsunagu up --aws PORT`"
        ) from None
    except keys.BadKeys as error:
        raise CliError(str(error), FAILED) from error
