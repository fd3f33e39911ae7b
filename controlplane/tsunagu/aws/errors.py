"""What a request to one of AWS's APIs is refused with, as AWS has it: a code, a message, an HTTP status.

The one rule: whoever finds the fault raises `AwsError`; the endpoint makes of it what the protocol of the request calls an error.
"""

from __future__ import annotations

from typing import Any, Final

#: The HTTP status of an error that a service's model does not have.
_BAD_REQUEST: Final = 400


class AwsError(Exception):
    """An error of AWS's. `code`: its name; `members`: what else the error's shape has, by its names.

    The service's model knows the HTTP status of its own errors; `status` is that of all others.
    """

    def __init__(self, code: str, message: str, status: int = _BAD_REQUEST, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members
