"""Exit codes, and which class of error ends a command with which of them.

The one rule: what a user did or met is shown as a message on standard error, never as a traceback. `EXIT_CODES` is the one
table from error classes to codes; `CODES` is what docs/cli.md shows.
"""

from __future__ import annotations

from tsunagu.client import errors as client
from tsunagu.model.errors import ManifestError
from tsunagu.settings import SettingsError

OK = 0
FAILED = 1
USAGE = 2
INVALID_MANIFEST = 3
NOT_FOUND = 4
CONFLICT = 5
NO_MESH = 6
NOT_CONVERGED = 7
DIFFERS = 8
FAULT_FOUND = 9
ROLLED_BACK = 10
DEPLOYMENT_STOPPED = 11
INTERRUPTED = 130
TERMINATED = 143

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
    FAULT_FOUND: "`why`: something is wrong with the call; `access`: it would be refused",
    ROLLED_BACK: "`deploy`: the deployment was rolled back",
    DEPLOYMENT_STOPPED: "`deploy`: the deployment was stopped, failed, could not be rolled back, or was overtaken by another one",
    INTERRUPTED: "interrupted by Ctrl-C",
    TERMINATED: "ended by SIGTERM",
}


class CliError(Exception):
    """Ends a command with ``code``. ``right`` says what would be right, and is shown on a line of its own."""

    def __init__(self, message: str, code: int = FAILED, right: str = "") -> None:
        self.code = code
        self.right = right
        super().__init__(message)


class Terminated(Exception):
    """The command was ended by SIGTERM, in order."""


#: The first class that fits counts; whatever stands in no row ends a command with FAILED.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (client.NoMesh, NO_MESH),
    (client.UnknownName, NOT_FOUND),
    (client.InvalidRequest, USAGE),
    (client.Conflicting, CONFLICT),
    (client.NotConverged, NOT_CONVERGED),
    (client.ClientError, FAILED),
    (SettingsError, USAGE),
    (ManifestError, INVALID_MANIFEST),
    (KeyboardInterrupt, INTERRUPTED),
    (Terminated, TERMINATED),
    (UnicodeEncodeError, USAGE),
    (OSError, FAILED),
)

#: What a user can do something about; anything else is our fault and shows its traceback.
USER_ERRORS: tuple[type[BaseException], ...] = (CliError, *(kind for kind, _ in EXIT_CODES))


def code_of(error: BaseException) -> int:
    """The exit code of an error."""
    if isinstance(error, CliError):
        return error.code
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)


def describe(error: BaseException) -> list[str]:
    """The message of an error in lines: what is wrong, then what would be right."""
    if isinstance(error, KeyboardInterrupt | Terminated):
        return ["interrupted" if isinstance(error, KeyboardInterrupt) else "ended by SIGTERM"]
    if isinstance(error, ManifestError):
        return [str(issue) for issue in error.issues]
    if isinstance(error, OSError):
        return [f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}"]
    if isinstance(error, UnicodeEncodeError):  # an argument or a folder in another encoding, which no message can hold
        return [f"error: {error.object!r} is no UTF-8 text"]
    right = error.right if isinstance(error, CliError | client.ClientError) else ""
    return [f"error: {error}", *([f"  {right}"] if right else [])]
