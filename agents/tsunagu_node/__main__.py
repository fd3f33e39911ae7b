"""`python -m tsunagu_node --home HOME [--name NAME] [--among] [--xds VARIANT] [--chosen CHOICE] [--zones A,B] [--dns PORT]`: a node agent of
this machine.

Rule: one node agent per folder, most often the mesh's directory. This process lets the chosen runtime run the agent's main (`main`); it ends
when that does, with its exit code, or when the mesh does.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from tsunagu.kit.lockfile import LockedError, LockFile
from tsunagu.model import zones
from tsunagu_node.machine_settings import DNS_VARIABLE
from tsunagu_node.runtime import choice
from tsunagu_node.runtime.choice import Choice
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.folders import Folders
from tsunagu_sidecar.bootstrap import DELTA, VARIANTS

_SOCKET_PATH: Final = 107  # bytes, the kernel's limit


class Refused(Exception):
    """The node agent cannot run like this. The message says what would be right."""


def main(arguments: list[str] | None = None) -> None:
    """The command. Exit code 2: it cannot run here, and why is on stderr."""
    options = _options(arguments)
    if options.dns:
        os.environ[DNS_VARIABLE] = str(options.dns)
    if options.zones:
        os.environ[zones.VARIABLE] = options.zones  # where the agent's main finds it
    try:
        _zones()
        folders = Folders.of(options.home.absolute(), options.name if options.among else "")
        sys.exit(_run(folders, options.name, options.xds, _chosen(options.chosen)))
    except (Refused, RuntimeUnavailable) as error:
        print(f"tsunagu node: {error}", file=sys.stderr)
        sys.exit(2)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tsunagu node", description="Runs the tasks of this machine.")
    parser.add_argument("--home", type=Path, required=True, help="the mesh directory")
    parser.add_argument("--name", default="laptop", help="the name of this node (default: laptop)")
    parser.add_argument("--among", action="store_true", help="the mesh has other nodes here; use HOME/nodes/NAME")
    parser.add_argument("--xds", choices=VARIANTS, default=DELTA, help="the variant of xDS that its Envoys speak")
    parser.add_argument("--chosen", default="", help="the runtime, as `Choice.encoded` writes it (default: linux)")
    parser.add_argument(
        "--dns", type=int, default=0, help=f"port of 127.0.0.1 for DNS (default: ${DNS_VARIABLE}, or 5388)"
    )
    parser.add_argument("--zones", default="", help=f"its availability zone, or several (default: ${zones.VARIABLE})")
    return parser.parse_args(arguments)


def _chosen(argument: str) -> Choice:
    """Return what `tsunagu up` or `tsunagu node` chose. By itself an agent knows no task yet, so that auto is linux."""
    return Choice.decoded(argument) if argument else Choice(choice.LINUX, "nothing else was asked for")


def _zones() -> None:
    """Raises Refused if the zones of this node are not zones."""
    try:
        zones.parse(os.environ.get(zones.VARIABLE, ""))
    except ValueError as error:
        raise Refused(f"{zones.VARIABLE}: {error}") from error


def _run(folders: Folders, name: str, variant: str, chosen: Choice) -> int:
    _prepare(folders)
    try:
        with LockFile(folders.node / "node.lock"):
            places = (str(folders.mesh), str(folders.node))
            agent = [sys.executable, "-P", "-m", "tsunagu_node.main", *places, name, variant, chosen.encoded()]
            return choice.launch(chosen, folders, agent)
    except LockedError as error:
        raise Refused(f"another node agent runs in {folders.node}; there is one per directory") from error


def _prepare(folders: Folders) -> None:
    home = folders.mesh
    for directory in (home, folders.node.parent, folders.node, folders.tasks, folders.logs, home / "xds"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    longest = folders.socket
    if len(os.fsencode(longest)) > _SOCKET_PATH:
        raise Refused(f"{longest} is longer than the {_SOCKET_PATH} bytes of a socket's path; choose a shorter --home")


if __name__ == "__main__":
    main()
