"""Why no certificate is given. Each message is fit for the node agent's log and the task's status.

The one rule: whoever maps them to an answer need not load what signs, which a mesh without identities never does.
"""

from __future__ import annotations


class Refused(Exception):
    """No certificate is given. The message says why, and where it helps what would be right."""


class NotAuthenticated(Refused):
    """Whoever asks has not proven to be of that node."""


class NotYours(Refused):
    """The task is not of the node that asks."""


class NotNeeded(Refused):
    """The task has no identity: its namespace speaks no TLS."""


class TooOften(Refused):
    """The task was given many certificates a moment ago."""


class Away(Refused):
    """The authority cannot sign now; it may later."""


class BadRequest(Refused):
    """The certificate request is not one that is signed."""


class BadAuthority(ValueError):
    """The files are no certificate authority that can be used. The message says which file, why, and what would be right."""
