"""`tsunagu serve` and `tsunagu node`: the two children of `up`, each by itself."""

from __future__ import annotations

import os
import sys

from controlplane import app
from controlplane.cli.options import command
from controlplane.settings import Home, ServeSettings


@command
async def serve(home: Home) -> None:
    """Run the control plane: registry, controllers and xDS, until SIGTERM."""
    await app.serve(ServeSettings.parse(home, os.environ))


@command
async def node(home: Home) -> None:
    """Run the node agent, which runs the tasks of this machine."""
    # The agent makes namespaces, so it must have a process without threads: it takes this one's place.
    os.execv(sys.executable, [sys.executable, "-m", "node_agent", "--home", str(home.root)])  # noqa: S606
