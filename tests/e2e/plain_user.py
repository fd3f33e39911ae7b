"""Runs a command as an ordinary user, in the same paths: `python plain_user.py HOME COMMAND...`; its exit code.

CI runs as root in some directory that nobody else may enter, with an interpreter below /root. So a mount namespace of our
own is made, in which the folders on the way to the project and to Python may be passed, and what is in them is as before.
When we are an ordinary user already, the command is just run. HOME becomes the user's, and the working directory. The number
in PLAIN_GROUP is a group that the user is in.
"""

import os
import stat
import sys
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


def main(home: Path, command: list[str]) -> None:
    if os.getuid() == 0:
        make_passable([ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], home])
        os.chown(home, NOBODY, NOBODY)
        os.setgroups([int(os.environ["PLAIN_GROUP"])] if "PLAIN_GROUP" in os.environ else [])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.chdir(home)
    os.environ.update(HOME=str(home), PYTHONDONTWRITEBYTECODE="1")
    os.execvp(command[0], command)


def make_passable(paths: list[Path]) -> None:
    """Lets everybody pass to the paths, in a mount namespace that only this process and its children are in."""
    from tsunagu_node.runtime.linux.init import syscalls

    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.private_mounts()
    while closed := next((found for path in paths if (found := _closed(path))), None):
        inside = {path for path in paths if closed in path.parents} | (
            {*closed.iterdir()} if closed in paths else set()
        )
        kept = {path: os.open(path, os.O_PATH) for path in sorted(inside)}
        syscalls.mount("tmpfs", str(closed), "tmpfs", 0)
        closed.chmod(0o755)
        for path, descriptor in kept.items():
            _place(path, descriptor)
            syscalls.mount(f"/proc/self/fd/{descriptor}", str(path), "", syscalls.MS_BIND | syscalls.MS_REC)
            os.close(descriptor)


def _place(path: Path, descriptor: int) -> None:
    """Something to mount on: a folder or a file."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        path.mkdir(parents=True, exist_ok=True)
    elif not path.is_symlink():
        path.touch()


def _closed(path: Path) -> Path | None:
    """The first folder on the way, or at its end, that others may not pass."""
    return next((one for one in (*reversed(path.parents), path) if not one.stat().st_mode & 0o001), None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
