"""The options of every command that reads manifests (`up`, `apply`, `validate`), or that runs tasks (`up`, `node`).

Rule: an option is the same in each of them, so its type and its help stand here once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EnvFile = Annotated[Path | None, typer.Option(help="NAME=VALUE lines: the values of `secrets`.")]
ServiceName = Annotated[str, typer.Option(metavar="NAME", help="The name of the one service whose file has none.")]
Cluster = Annotated[str, typer.Option(metavar="NAME", help="The cluster of services whose files name none.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SERVICE[/CONTAINER]/NAME=VALUE",
        help="A variable in the environment of a service's containers.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only, without notes on what is passed over.")]


class RuntimeName(StrEnum):
    """What --runtime takes."""

    auto = "auto"
    linux = "linux"
    docker = "docker"
    both = "linux,docker"


class AllowName(StrEnum):
    """What --allow takes: the words of `model.privileges`."""

    privileged = "privileged"
    binds = "binds"
    host_namespaces = "host-namespaces"


class PullName(StrEnum):
    """What --pull takes."""

    missing = "missing"
    always = "always"
    never = "never"


Runtime = Annotated[
    RuntimeName,
    typer.Option(
        help="What runs the tasks; auto: docker where a container needs its image, beside linux where Images stand in for others."
    ),
]
Allow = Annotated[
    list[AllowName] | None,
    typer.Option(help="What a task definition may ask for beyond its task; may be given several times."),
]
Pull = Annotated[PullName, typer.Option(help="When images are pulled (runtime docker).")]
SidecarImage = Annotated[
    str, typer.Option(metavar="IMAGE", help="An image for Envoy in place of this machine's own (docker).")
]
