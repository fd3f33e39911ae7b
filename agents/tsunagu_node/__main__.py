"""`python -m tsunagu_node --home HOME [--name NAME] [--xds VARIANT] [--chosen CHOICE] [--zones A,B] [--dns PORT]`: the node agent of
this machine.

Rule: one node agent per mesh directory. This process lets the chosen runtime run the agent's main (`main`); it ends
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
        sys.exit(_run(options.home.absolute(), options.name, options.xds, _chosen(options.chosen)))
    except (Refused, RuntimeUnavailable) as error:
        print(f"tsunagu node: {error}", file=sys.stderr)
        sys.exit(2)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tsunagu node", description="Runs the tasks of this machine.")
    parser.add_argument("--home", type=Path, required=True, help="the mesh directory")
    parser.add_argument("--name", default="laptop", help="the name of this node (default: laptop)")
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


def _run(home: Path, name: str, variant: str, chosen: Choice) -> int:
    _prepare(home)
    try:
        with LockFile(home / "node.lock"):
            agent = [sys.executable, "-P", "-m", "tsunagu_node.main", str(home), name, variant, chosen.encoded()]
            return choice.launch(chosen, home, agent)
    except LockedError as error:
        raise Refused(f"another node agent runs in {home}; there is one per mesh directory") from error


def _prepare(home: Path) -> None:
    for directory in (home, home / "tasks", home / "log", home / "xds"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    longest = home / "node.sock"
    if len(os.fsencode(longest)) > _SOCKET_PATH:
        raise Refused(f"{longest} is longer than the {_SOCKET_PATH} bytes of a socket's path; choose a shorter --home")


if __name__ == "__main__":
    main()
