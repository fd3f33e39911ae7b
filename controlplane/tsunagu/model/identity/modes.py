"""How tasks speak with each other: the words of a Namespace's `tls`, and the ports at which TLS is spoken.

A port of a service speaks TLS at a second ingress, so that plaintext and TLS are never told apart by a connection's first
bytes: a protocol in which the server speaks first would wait for them. The one rule: where that ingress is follows from the
port's place in its service alone, so that a mode can change while tasks run.
"""

from __future__ import annotations

from typing import Final

OFF: Final = "off"
PERMISSIVE: Final = "permissive"
STRICT: Final = "strict"
MODES: Final = (OFF, PERMISSIVE, STRICT)
#: Where the proxy of a task takes TLS for the first port of its service; 15000 to 15999 are the proxy's.
FIRST_TLS_PORT: Final = 15400


def tls_port(index: int) -> int:
    """The port of a task's TLS ingress. `index`: the port's place in serviceConnectConfiguration."""
    return FIRST_TLS_PORT + index
