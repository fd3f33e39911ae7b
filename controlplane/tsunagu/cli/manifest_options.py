"""The options of every command that reads manifests: `up`, `apply`, `validate`.

Rule: an option is the same in each of them, so its type and its help stand here once.
"""

from __future__ import annotations

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
