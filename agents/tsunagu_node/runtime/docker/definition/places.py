"""Where the files of a task are: for the node agent, and inside of its containers. Pure.

Rule: two ways, and nothing else asks which it is. *Of the machine*: folders of the mesh's directory are mounted, under the same
paths. *Composed*, where the node agent runs in a container itself and an engine may be in a virtual machine: each task has volumes
of its own, into which the agent reaches by descriptors that are handed over, so that no sidecar reads another's token.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

APPS: Final = "apps"
"""The folder in a task's directory that its containers see: their own configuration files."""
HANDOVER: Final = "handover"
"""The folder in a task's directory that pause sees, for `handover`."""
_INSIDE: Final = Path("/run/tsunagu")
Mount = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Composed:
    """A mesh whose control plane and node agent are containers. `mesh`: its name. `xds`, `handover`: the names of the volumes
    that hold the socket for proxies, and those of handovers; the agent has the latter at `handover_folder`.
    """

    mesh: str
    xds: str
    handover: str
    handover_folder: str = str(_INSIDE / HANDOVER)


@dataclass(frozen=True, slots=True)
class Places:
    """`task`, `apps`, `xds`: folders as containers see them. `handover`: the folder as pause sees it, `handed`: as the agent does.
    `pause`, `program`, `container`: the mounts of each. `volumes`: those that go with the task.
    """

    task: Path
    apps: Path
    xds: Path
    handover: Path
    handed: Path
    pause: tuple[Mount, ...]
    program: tuple[Mount, ...]
    container: tuple[Mount, ...]
    volumes: tuple[str, ...] = ()


def of_machine(home: Path, directory: Path) -> Places:
    """Return the places of a task whose files are in `directory`, of a mesh in `home`."""
    apps, handover, xds = directory / APPS, directory / HANDOVER, home / "xds"
    return Places(
        task=directory,
        apps=apps,
        xds=xds,
        handover=handover,
        handed=handover,
        pause=(bind(directory / "hosts", "/etc/hosts"), bind(handover, handover)),
        program=(bind(directory, directory, read_only=False), bind(xds, xds)),
        container=(bind(apps, apps), bind(xds, xds)),
    )


def of_volumes(composed: Composed, prefix: str, labels: dict[str, str]) -> Places:
    """Return the places of a task whose volumes begin with `prefix` and have these labels."""
    task, apps, handover, xds = (_INSIDE / name for name in ("task", APPS, HANDOVER, "xds"))
    files, own = f"{prefix}-files", f"{prefix}-{APPS}"
    shared = volume(composed.xds, xds, {}, read_only=True)
    return Places(
        task=task,
        apps=apps,
        xds=xds,
        handover=handover,
        handed=Path(composed.handover_folder),
        pause=(volume(files, task, labels), volume(own, apps, labels), volume(composed.handover, handover, {})),
        program=(volume(files, task, labels), shared),
        container=(volume(own, apps, labels, read_only=True), shared),
        volumes=(files, own),
    )


def bind(source: Path | str, target: Path | str, *, read_only: bool = True) -> Mount:
    """Return a mount of a file or folder of the machine; the engine refuses one that is missing."""
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": read_only}


def volume(name: str, target: Path | str, labels: dict[str, str], *, read_only: bool = False) -> Mount:
    """Return a mount of a volume, which is made with these labels if there is none."""
    options = {"Labels": labels}
    return {"Type": "volume", "Source": name, "Target": str(target), "ReadOnly": read_only, "VolumeOptions": options}
