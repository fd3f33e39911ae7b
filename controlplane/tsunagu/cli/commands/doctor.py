"""`tsunagu doctor`: what this machine can do for a mesh, what it cannot, and the remedy."""

from __future__ import annotations

import os
from dataclasses import asdict

import typer

from tsunagu.cli import errors, output
from tsunagu.cli.command import plain
from tsunagu.cli.output import Cell, Format, Output
from tsunagu_node.dns import dns_probe
from tsunagu_node.runtime.docker import docker_probe as docker
from tsunagu_node.runtime.finding import Finding
from tsunagu_node.runtime.linux import probe as linux

#: Whether the runtime linux works, whether docker does -> what a mesh gets.
_CHOSEN = {
    (
        True,
        True,
    ): "linux; docker for a mesh of which a container runs in its image alone; both where Images stand in for other tasks",
    (True, False): "linux; every container needs a command, its own or that of a `kind: Image`",
    (False, True): "docker, when it is asked for: --runtime docker",
    (False, False): "none works here",
}
_NONE = "Do what is said above for namespaces, or start Docker"


@plain
def doctor(output_as: Output = Format.table) -> None:
    """Say what this machine can do for a mesh, what it cannot, and the remedy; code 1 when no mesh can run."""
    of_linux, of_docker = linux.findings(), list(docker.findings(os.environ))
    found = [*of_linux, *of_docker, *dns_probe.findings(), runtime(linux.usable(of_linux), of_docker[0].ok)]
    cells = [[_mark(one), one.name, one.detail, one.remedy] for one in found]
    output.listing(output_as, [asdict(one) for one in found], ("", "WHAT", "HERE", "REMEDY"), cells)
    if not found[-1].ok:
        raise typer.Exit(errors.FAILED)


def runtime(linux_works: bool, docker_works: bool) -> Finding:
    """Return which runtime a mesh gets here."""
    works = linux_works or docker_works
    return Finding("runtime", works, _CHOSEN[linux_works, docker_works], "" if works else _NONE)


def _mark(found: Finding) -> Cell:
    if found.ok:
        return Cell("ok", "green")
    return Cell("NO", "bold red") if found.needed else Cell("no", "yellow")
