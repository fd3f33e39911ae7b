"""Where an app listens, in words, when that is not where its proxy calls it: 127.0.0.1 and the container port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Server

#: What an address must be for a connection to 127.0.0.1 to reach it.
_REACHED: Final = frozenset({"0.0.0.0", "127.0.0.1", "::", "::ffff:127.0.0.1"})  # noqa: S104 - read, not listened at
#: Ports that belong to the mesh: captured calls, task metadata, and ingress listeners from 15100 on.
OURS: Final = range(15000, 16000)


def reaches(server: Server) -> bool | None:
    """Whether something listens where the proxy calls the app; None when that is not known."""
    if server.listening is None:
        return None
    return any(port == server.container_port and address in _REACHED for address, port in server.listening)


def elsewhere(server: Server) -> str:
    """Where it listens instead, as the rest of a sentence; empty when it is silent, unknown or right."""
    if server.listening is None or reaches(server):
        return ""
    wrong = sorted(address for address, port in server.listening if port == server.container_port)
    if wrong:
        return f"listens at {_at(wrong[0], server.container_port)} alone, and its proxy calls 127.0.0.1:{server.container_port}"
    others = sorted({port for _, port in server.listening if port not in OURS})
    if not others:
        return ""
    shown = ", ".join(map(str, others))
    return f"listens at port {shown}, and its port mapping says {server.container_port}"


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
