"""Exit codes, and the one error class that a command ends with when its user can do something about it.

The one rule: what a user did or met is told in words on standard error, never as a traceback; the table `CODES` is what
docs/cli.md shows.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OK = 0
FAILED = 1
USAGE = 2
INVALID_MANIFEST = 3
NOT_FOUND = 4
CONFLICT = 5
NO_MESH = 6
NOT_CONVERGED = 7
DIFFERS = 8
INTERRUPTED = 130

#: Every exit code and what it means (`exec` ends with the code of its command instead).
CODES = {
    OK: "done",
    FAILED: "failed: the message says what",
    USAGE: "the command line is wrong",
    INVALID_MANIFEST: "a manifest is invalid, or cannot be read",
    NOT_FOUND: "there is no such object, task, service or proxy",
    CONFLICT: "somebody else was faster, or a mesh is already running there",
    NO_MESH: "no mesh is running there",
    NOT_CONVERGED: "the time was over before it was steady, converged or stopped",
    DIFFERS: "`proxies --diff`: Envoy has something else than it is to have",
    INTERRUPTED: "interrupted by Ctrl-C",
}


class CliError(Exception):
    """Ends a command. ``right`` says what would be right, and is shown on a line of its own."""

    def __init__(self, message: str, code: int = FAILED, right: str = "") -> None:
        self.code = code
        self.right = right
        super().__init__(message)


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A sentence that offers the known name nearest to a wrong one."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else otherwise


def first(error: BaseException) -> BaseException:
    """The error itself, or the first that a group holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
