"""Sockets that are connected from here to somewhere else."""

import asyncio
import socket


async def connected(protocol: str, host: str, port: int) -> socket.socket:
    """Return a socket, `tcp` or `udp`, connected to host:port. Raises OSError."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    begun = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(begun, (host, port))
    except BaseException:
        begun.close()
        raise
    return begun
