"""Where `up --metrics` has the exporter listen. Rule: on loopback, unless an address is given."""

from __future__ import annotations

import socket

from tsunagu.cli.errors import CONFLICT, USAGE, CliError

_LAST_PORT = 65535


def free(text: str) -> str:
    """Return HOST:PORT of `--metrics [HOST:]PORT`. Raises CliError, also when nothing can listen there."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise CliError(
            f"--metrics {text}: {port!r} is no port", USAGE, "write --metrics 9464, or --metrics 0.0.0.0:9464"
        )
    host = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        raise CliError(f"--metrics {host}:{port}: {error.strerror}", CONFLICT, "name another port") from error
    return f"{host}:{port}"
