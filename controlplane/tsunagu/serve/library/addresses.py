"""Where a server may listen, found out before gRPC tries: its own words for a taken port tell neither why nor what to do.

Rule: a probe binds as gRPC will and lets go at once. Who comes between meets gRPC's error, which is told as the same one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

from tsunagu.serve.sockets import SocketPathError, check_path

_ANSWER = 1.0  # s; a socket that lives answers at once

_WHY = {
    errno.EADDRINUSE: "another process listens there: stop it, or use another port (0: any that is free)",
    errno.EACCES: "this user may not: ports below 1024 need CAP_NET_BIND_SERVICE, so use a higher one",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address: 127.0.0.1 is this machine alone, 0.0.0.0 all",
}


class CannotListen(OSError):
    """No server can listen at that address. The message says why, and what would be right."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"cannot listen at {address}: {why}")
        self.address = address


async def check_address(address: str) -> None:
    """Raises CannotListen unless a server can listen at `HOST:PORT` or `unix:PATH`."""
    if address.startswith("unix:"):
        await _check_socket(address, Path(address.removeprefix("unix:")))
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise CannotListen(repr(address), "an address is HOST:PORT (127.0.0.1:18000), or unix:PATH")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):
        raise CannotListen(address, f"{host!r} is neither an address nor a name that this machine knows") from None
    for family, kind, _, _, where in found:
        _bind(address, family, kind, where)


def refused(address: str) -> CannotListen:
    """What gRPC refused in spite of the check."""
    return CannotListen(address, "gRPC could not bind it: another process may have been faster")


def _bind(address: str, family: int, kind: int, where: tuple[object, ...]) -> None:
    try:
        probe = socket.socket(family, kind)
    except OSError:
        return  # a family that this machine has not: gRPC leaves it out
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            why = _WHY.get(error.errno or 0) or os.strerror(error.errno or 0)
            raise CannotListen(address, why) from None


async def _check_socket(address: str, path: Path) -> None:
    try:
        check_path(path)
    except SocketPathError as error:
        raise CannotListen(address, str(error)) from None
    if path.exists() and not path.is_socket():
        raise CannotListen(address, "there is a file that is no socket: remove it, or use another path")
    if await _is_live(path):  # gRPC would take it over without a word
        raise CannotListen(address, "another process serves there: stop it, or use another path")


async def _is_live(path: Path) -> bool:
    try:
        async with asyncio.timeout(_ANSWER):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
