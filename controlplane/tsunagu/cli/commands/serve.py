"""`tsunagu serve` and `tsunagu node`: the two children of `up`, each by itself."""

from __future__ import annotations

import os
import sys

from tsunagu.cli.command import command
from tsunagu.cli.local import control_plane
from tsunagu.settings import Home


@command
async def serve(home: Home) -> None:
    """Run the control plane: registry, controllers and xDS, until SIGTERM."""
    await control_plane.run(home)


@command
async def node(home: Home) -> None:
    """Run the node agent, which runs the tasks of this machine."""
    # The agent makes namespaces, so it must have a process without threads: it takes this one's place.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tsunagu_node", "--home", str(home.root)])  # noqa: S606
