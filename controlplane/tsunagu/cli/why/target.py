"""What was called: `NAME:PORT`, a URL, or an address, as the user wrote it.

The one rule: nothing is resolved here; a name is what the app of the task would look up.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final
from urllib.parse import quote, urlsplit

from tsunagu.client.errors import InvalidRequest

#: Scheme of a URL -> its port when it has none. Without a scheme a name alone means 80.
PORTS: Final = {"http": 80, "https": 443, "ws": 80, "grpc": 50051, "tcp": 0, "": 80}
VIRTUAL: Final = IPv4Network("127.255.0.0/16")
#: What stands for itself in the path and query of a URL (RFC 3986, 3.3 and 3.4), and what is escaped already.
_AS_WRITTEN: Final = "/?%:@!$&'()*+,;="
_EXAMPLE: Final = "e.g. tsunagu why web orders:80, or tsunagu why web http://orders/health"


@dataclass(frozen=True, slots=True)
class Target:
    """A call. `scheme`: empty when none was written; `path`: begins with / when one was written; `guessed`: no port was."""

    name: str
    port: int
    scheme: str = ""
    path: str = ""
    guessed: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"

    @property
    def address(self) -> IPv4Address | None:
        """The name as an address, if it is one."""
        try:
            return IPv4Address(self.name)
        except ValueError:
            return None

    @property
    def virtual(self) -> bool:
        """Whether it is an address that stands for a name of the mesh."""
        return self.address is not None and self.address in VIRTUAL


def parse(text: str) -> Target:
    """Parse what the user wrote. Raises InvalidRequest."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme not in PORTS:
        raise InvalidRequest(f"{text!r} has a scheme that is none of {', '.join(filter(None, PORTS))}", _EXAMPLE)
    try:
        parts = urlsplit(text if scheme else f"//{text}")
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no NAME:PORT and no URL: {error}", _EXAMPLE) from error
    if not parts.hostname:
        raise InvalidRequest(f"{text!r} names nobody", _EXAMPLE)
    if port == 0 or (port is None and not PORTS[scheme]):
        raise InvalidRequest(f"{text!r} says no port", _EXAMPLE)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
    path = quote(path, safe=_AS_WRITTEN)  # what a URL cannot hold is escaped, as browsers do
    return Target(parts.hostname.rstrip("."), port or PORTS[scheme], scheme, path, guessed=port is None)
