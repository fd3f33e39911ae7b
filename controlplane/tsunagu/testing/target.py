"""Where a URL leads to: the address to connect to, and the request to make there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tsunagu.kit.http import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, with the address to connect to: the URL's own, or another one."""

    host: str
    port: int
    path: str  # with the query
    authority: str  # as the URL has it: the `host` header
    scheme: str = "http"

    @classmethod
    def parse(cls, url: str, connect: tuple[str, int] | None = None, schemes: tuple[str, ...] = ("http",)) -> Target:
        """Takes `url` apart; with `connect` (host, port) it only names the host. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"{url!r} is no URL for this; one is http://orders/items or http://127.0.0.1:8080/")
        host, port = connect or (parts.hostname, parts.port or 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(host, port, path, parts.netloc, parts.scheme)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port

    def request(self, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None) -> Request:
        """The request that asks for this URL."""
        return Request(self.path, method, self.authority, headers or {}, body)
