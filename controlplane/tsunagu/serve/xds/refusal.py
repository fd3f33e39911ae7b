"""Why a client may not have a stream.

Rule: the message is sent to the client, and says nothing that it does not know.
"""

from __future__ import annotations


class Refused(Exception):
    """Raised by `authenticate`: this client may not have a stream. `code` is a gRPC status."""

    code = "UNAUTHENTICATED"


class Unauthenticated(Refused):
    """The client has not proved who it is."""


class PermissionDenied(Refused):
    """The client is known, and not allowed."""

    code = "PERMISSION_DENIED"
