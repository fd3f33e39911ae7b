"""What the processes of a task see of the mesh's directory: nothing of it but what is theirs.

All processes of a mesh are one user to the kernel, whatever ids they see inside of namespaces, so that no file mode keeps an
app from the control plane's sockets, the key, or other tasks' files. Rule: what is not shown is not there. An empty, read-only
file system is mounted over the directory in the task's mount namespace, and once more in that of each app; the kernel lets
nobody inside take away a mount that was made before a user namespace of theirs.
"""

import os
from typing import Final

from tsunagu_node.runtime.linux.init import syscalls

XDS: Final = "xds"
"""The folder in the mesh's directory that holds the socket for proxies. A folder is shown, and not the socket, since a
control plane that starts anew makes another socket."""
SOCKET: Final = "sock"
LINK: Final = "xds.sock"
"""The name by which that socket is known: a link to XDS/SOCKET."""
_NOT_FOR_APPS: Final = frozenset({"envoy.json", "identity.json", "state.json", "task.json"})
"""The proxy's token, its key, and what is kept of the task. Its other certificates and keys are no .json."""


def show_task(home: str, directory: str) -> None:
    """Leave of the mesh's directory `home` the socket for proxies and the task's own directory. For the task's first process."""
    _cover(home, {XDS: True, _inside(home, directory): False})


def show_app(home: str, directory: str) -> None:
    """Leave the socket for proxies and the configuration files that were written for the task's apps, to be read. For a
    process in a user namespace and a mount namespace of its own.
    """
    files = [name for name in os.listdir(directory) if name.endswith(".json") and name not in _NOT_FOR_APPS]  # noqa: PTH208
    _cover(home, {XDS: True, **{f"{_inside(home, directory)}/{name}": True for name in files}})


def _inside(home: str, directory: str) -> str:
    return directory.removeprefix(f"{home}/")


def _cover(home: str, shown: dict[str, bool]) -> None:
    """Mount an empty directory over `home` and in it what is `shown`: path -> whether it is read-only. Raises OSError."""
    kept = {path: fd for path in shown if (fd := _opened(f"{home}/{path}")) >= 0}
    syscalls.mount("tmpfs", home, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=64k,mode=0755")
    os.symlink(f"{XDS}/{SOCKET}", f"{home}/{LINK}")  # noqa: PTH211
    for path, fd in kept.items():
        _show(f"/proc/self/fd/{fd}", f"{home}/{path}", read_only=shown[path])
        os.close(fd)
    syscalls.read_only(home)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _show(source: str, target: str, *, read_only: bool) -> None:
    if os.path.isdir(source):  # noqa: PTH112
        os.makedirs(target, mode=0o755)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
    syscalls.bind(source, target)
    if read_only:
        syscalls.read_only(target)
