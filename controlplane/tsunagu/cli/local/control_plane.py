"""The control plane of a home: what `tsunagu serve` runs, and what `up` starts as its child.

Rule: the child (`python -m tsunagu.cli.local.control_plane HOME`) does without typer, which with all that it imports costs
0.1 s of CPU while nothing can be applied yet and, after a restart, every proxy waits.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu import app
from tsunagu.ca.refusals import BadAuthority
from tsunagu.cli import errors
from tsunagu.cli.errors import USER_ERRORS, CliError
from tsunagu.client.errors import first
from tsunagu.kit.lockfile import LockedError
from tsunagu.kit.tokens import BadKey
from tsunagu.registry.store import StoreError
from tsunagu.registry.stores.sqlite_file import StoreDamaged, UnknownFile
from tsunagu.serve.sockets import SocketInUseError, SocketPathError
from tsunagu.settings import Home, ServeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Why a control plane cannot run in a home, in words that its user can act on.
_REFUSALS = (
    LockedError,
    SocketInUseError,
    SocketPathError,
    StoreError,
    StoreDamaged,
    UnknownFile,
    BadKey,
    BadAuthority,
)
_CODES = {
    LockedError: errors.CONFLICT,
    SocketInUseError: errors.CONFLICT,
    SocketPathError: errors.USAGE,
    BadAuthority: errors.USAGE,
}


async def run(home: Home) -> None:
    """Runs it until SIGTERM, or until the mesh is over. Raises CliError when it cannot run there."""
    try:
        await app.serve(ServeSettings.parse(home, os.environ))
    except (*_REFUSALS, OSError, BaseExceptionGroup) as error:
        cause = first(error)
        if isinstance(cause, OSError):
            where = cause.filename or home.root
            raise CliError(f"the control plane cannot run in {home.root}: {where}: {cause.strerror}") from error
        if not isinstance(cause, _REFUSALS):
            raise
        raise CliError(str(cause), _CODES.get(type(cause), errors.FAILED)) from error


def main(arguments: Sequence[str]) -> int:
    """`HOME`. Returns the exit code that `tsunagu serve` would end with, after the same message."""
    try:
        asyncio.run(run(Home(Path(arguments[0]))))
    except USER_ERRORS as error:
        sys.stderr.writelines(f"{line}\n" for line in errors.describe(error))
        return errors.code_of(error)
    return errors.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
