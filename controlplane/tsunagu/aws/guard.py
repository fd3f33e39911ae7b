"""Who may speak with the endpoint at all, before any signature: no web page, and nobody who was led here by a name.

A page of another site can make a browser send requests to this machine (with an Origin), and a name of its own can lead the
browser here (DNS rebinding: with a Host of its own). The one rule: any Origin, and any Host that is not this endpoint's, is refused.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from tsunagu.kit.http_server import Request

#: What SDKs put in front of the host for some operations of Cloud Map.
_PREFIX: Final = "data-"
_LOCAL: Final = re.compile(r"127\.0\.0\.1|localhost|\[::1\]|([a-z0-9-]+\.)+localhost")


def check(request: Request, host: str, port: int) -> None:
    """Raise AwsError for a request that must not be answered. `host`, `port`: where the endpoint listens."""
    if any(name == "origin" for name, _ in request.headers):
        raise AwsError("AccessDeniedException", "Web pages may not call this endpoint.", HTTPStatus.FORBIDDEN)
    if not _is_ours(request.header("host").lower(), host, port):
        raise AwsError("AccessDeniedException", "The Host of the request is not this endpoint's.", HTTPStatus.FORBIDDEN)


def _is_ours(given: str, host: str, port: int) -> bool:
    name, colon, number = given.rpartition(":")
    if not colon or number != str(port):
        return False
    name = name.removeprefix(_PREFIX)
    return name == host or _LOCAL.fullmatch(name) is not None
