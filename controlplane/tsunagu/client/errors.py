"""What can go wrong between a client and a mesh, as classes, each with what would be right.

The one rule: nothing here knows how an error is shown. A command makes an exit code of its class (`cli.errors`), a test an
assertion; both print `str(error)`, and `right` on a line of its own when there is one.
"""

from __future__ import annotations


class ClientError(Exception):
    """The mesh cannot do what it was asked. ``right`` says what would be right; empty when nobody can know."""

    def __init__(self, message: str, right: str = "") -> None:
        self.right = right
        super().__init__(message)


class NoMesh(ClientError):
    """Nothing runs in that home, or nothing that answers."""


class UnknownName(ClientError):
    """There is no object, task or proxy of that name."""


class InvalidRequest(ClientError):
    """What was asked for cannot be meant: a name that is ambiguous or empty, a kind or an argument that is not known."""


class Conflicting(ClientError):
    """Another writer was faster, again and again."""


class NotConverged(ClientError):
    """The time was over before the mesh was steady or its proxies had what they should have."""


class RequestFailed(ClientError):
    """The control plane, a node agent or an Envoy could not do it; the message says why."""


def first(error: BaseException) -> BaseException:
    """The error itself, or the first that a group holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
