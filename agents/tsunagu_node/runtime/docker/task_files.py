"""The files of a task that its processes see, as the node agent reaches them: configuration, /etc/hosts, Envoy's admin socket.

Rule: they are reached through descriptors, whether they are files of this machine or were handed over from inside of the task;
so a path may be of any length, and whoever closes them touches nothing.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tsunagu_node.runtime import config_file
from tsunagu_node.runtime.contract import CERTIFICATES, ENVOY_CONFIG, IDENTITY, AdminEndpoint
from tsunagu_node.runtime.docker.definition.bodies import RELAY_SOCKET
from tsunagu_node.runtime.docker.definition.places import Places
from tsunagu_node.runtime.docker.definition.site import Site
from tsunagu_node.runtime.docker.handover import handed_over
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.hosts_file import HostsFile

ADMIN: Final = "admin.sock"


async def opened(site: Site, own: Iterable[str], containers: Containers, pause: str) -> "TaskFiles":
    """Return the files of the task whose pause runs; `own`: the lines that always stay in /etc/hosts. Raises RuntimeFailed, OSError."""
    if site.composed is None:
        return TaskFiles.of_machine(site.places, own)
    return await TaskFiles.handed_over(site.places, containers, pause, own)


class TaskFiles:
    """`folders`: descriptors of the task's folder, and of that of its containers, owned by this object from now on. `hosts`: the
    path of the task's /etc/hosts, `own`: the lines that always stay in it.
    """

    def __init__(self, places: Places, folders: tuple[int, int], hosts: Path, own: Iterable[str]) -> None:
        self._places = places
        with ExitStack() as held:
            for fd in folders:
                held.callback(os.close, fd)
            self._hosts = HostsFile(hosts, own)
            held.callback(self._hosts.close)
            self._held = held.pop_all()
        self._task, self._apps = (f"/proc/self/fd/{fd}" for fd in folders)
        self.admin_endpoint = AdminEndpoint(ADMIN, f"{self._task}/{ADMIN}")
        self.channel = Path(self._task, RELAY_SOCKET)

    @classmethod
    def of_machine(cls, places: Places, own: Iterable[str]) -> "TaskFiles":
        """Open files of this machine. Raises OSError."""
        with ExitStack() as undo:
            folders = []
            for path in (places.task, places.apps):
                folders.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                undo.callback(os.close, folders[-1])
            undo.pop_all()
        return cls(places, (folders[0], folders[1]), places.task / "hosts", own)

    @classmethod
    async def handed_over(cls, places: Places, containers: Containers, pause: str, own: Iterable[str]) -> "TaskFiles":
        """Take them over from inside of the task. Raises RuntimeFailed, OSError."""
        wanted = [f"open:{path}" for path in (places.task, places.apps, "/etc/hosts")]
        task, apps, hosts = await handed_over(containers, pause, places, wanted)
        try:
            files = cls(places, (task, apps), Path(f"/proc/self/fd/{hosts}"), own)
        finally:
            os.close(hosts)  # it has been opened anew
        files.set_hosts({})  # beside what the engine wrote there
        return files

    def config_path(self, name: str) -> str:
        """Return the path of a configuration file inside the task."""
        return str((self._places.task if _is_envoys(name) else self._places.apps) / name)

    def write_config(self, name: str, text: str) -> None:
        """Write a configuration file. Raises OSError."""
        # Containers have users of their own; of the machine's, nobody else may pass the folders above.
        folder, mode = (self._task, 0o600) if _is_envoys(name) else (self._apps, 0o644)
        config_file.write(Path(folder, name), text, mode)

    def read_config(self, name: str) -> str:
        """Return what `write_config` wrote. Raises OSError."""
        return Path(self._task if _is_envoys(name) else self._apps, name).read_text()

    def set_hosts(self, names: Mapping[str, str]) -> None:
        """Make `names` (DNS name -> IP) all that /etc/hosts holds beside the task's own lines. Raises OSError."""
        self._hosts.set(names)

    def shown_hosts(self) -> Mapping[str, str]:
        """Return what /etc/hosts says now, name -> IP. Raises OSError."""
        return self._hosts.shown()

    def containers_have_some(self) -> bool:
        """Return whether there is configuration for the containers."""
        return bool(os.listdir(self._apps))  # noqa: PTH208 - through a descriptor

    def release(self) -> None:
        """Let go of them."""
        self._held.close()


def _is_envoys(name: str) -> bool:
    """Whether a configuration file is the proxy's alone."""
    return name in {ENVOY_CONFIG, IDENTITY} or name.startswith(CERTIFICATES)
