"""`tsunagu serve` and `tsunagu node`: the two children of `up`, each by itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tsunagu.cli import errors
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.cli.local import control_plane
from tsunagu.cli.local.options import Options, Xds
from tsunagu.cli.local.runtime import wish
from tsunagu.cli.manifest_options import Allow, Pull, PullName, Runtime, RuntimeName, SidecarImage
from tsunagu.settings import Home
from tsunagu_node.runtime.choice import Needs


@command
async def serve(home: Home) -> None:
    """Run the control plane: registry, controllers and xDS, until SIGTERM."""
    await control_plane.run(home)


@command
async def node(
    home: Home,
    xds: Annotated[Xds, typer.Option("--xds", help="The variant of xDS that its sidecars speak.")] = Xds.delta,
    runtime: Runtime = RuntimeName.auto,
    allow: Allow = None,
    pull: Pull = PullName.missing,
    sidecar_image: SidecarImage = "",
) -> None:
    """Run the node agent, which runs the tasks of this machine; auto is linux, since no task is known yet."""
    # The agent makes namespaces, so it must have a process without threads: it takes this one's place.
    if runtime is RuntimeName.both:
        raise CliError("--runtime linux,docker is two nodes", errors.USAGE, "'tsunagu up' starts both")
    (chosen,) = wish(runtime, allow or (), pull, sidecar_image).made(Needs())
    more = (*Options(xds=xds).of_node, "--chosen", chosen.encoded())
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tsunagu_node", "--home", str(home.root), *more])  # noqa: S606
