"""`tsunagu serve` and `tsunagu node`: the two children of `up`, each by itself."""

from __future__ import annotations

import os
import sys

from tsunagu import app
from tsunagu.cli import errors
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.client.errors import first
from tsunagu.kit.lockfile import LockedError
from tsunagu.kit.tokens import BadKey
from tsunagu.registry.store import StoreError
from tsunagu.registry.stores.sqlite_file import StoreDamaged, UnknownFile
from tsunagu.serve.sockets import SocketInUseError, SocketPathError
from tsunagu.settings import Home, ServeSettings

#: Why a control plane cannot run in a home, in words that its user can act on.
_REFUSALS = (LockedError, SocketInUseError, SocketPathError, StoreError, StoreDamaged, UnknownFile, BadKey)
_CODES = {LockedError: errors.CONFLICT, SocketInUseError: errors.CONFLICT, SocketPathError: errors.USAGE}


@command
async def serve(home: Home) -> None:
    """Run the control plane: registry, controllers and xDS, until SIGTERM."""
    try:
        await app.serve(ServeSettings.parse(home, os.environ))
    except (*_REFUSALS, BaseExceptionGroup) as error:
        cause = first(error)
        if not isinstance(cause, _REFUSALS):
            raise
        raise CliError(str(cause), _CODES.get(type(cause), errors.FAILED)) from error


@command
async def node(home: Home) -> None:
    """Run the node agent, which runs the tasks of this machine."""
    # The agent makes namespaces, so it must have a process without threads: it takes this one's place.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tsunagu_node", "--home", str(home.root)])  # noqa: S606
