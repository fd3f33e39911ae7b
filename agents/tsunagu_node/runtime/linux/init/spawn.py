"""Starts one process of a task, from its init.

Rule: what fails before the program runs is raised in the caller as the same OSError, and leaves no process. Standard
library only; no `subprocess`, whose import alone doubles the time that an init takes to start.
"""

import fcntl
import os
import signal
import termios
from typing import Final, NamedTuple, NoReturn

from tsunagu_node.runtime.linux.init import mesh_directory, syscalls

APP_ID: Final = 1000
_FALLBACK_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Spawn(NamedTuple):
    """`user`: "app" (an ordinary uid, 1000, in user and mount namespaces of its own) or "root" (of the sandbox)."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    home: str  # the mesh's directory
    directory: str  # that of the task
    tty: bool = False


def spawn(wanted: Spawn, streams: tuple[int, ...]) -> int:
    """Start `wanted` with `streams` as stdin, stdout and stderr (-1: /dev/null); return its pid. Raises OSError."""
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(wanted, streams, write)
    os.close(write)
    try:
        failure = os.read(read, 4096).decode()
    finally:
        os.close(read)
    if failure:
        os.waitpid(pid, 0)
        number, _, what = failure.partition(" ")
        raise OSError(int(number), os.strerror(int(number)), what)
    return pid


def _child(wanted: Spawn, streams: tuple[int, ...], failed: int) -> NoReturn:
    try:
        _prepare(wanted, streams)
        _execute(wanted)
    except OSError as error:
        os.write(failed, f"{error.errno or 5} {error.filename or error.strerror}".encode())
    except BaseException as error:  # noqa: BLE001 - the forked child must not return into its parent's code
        os.write(failed, f"5 {error!r}".encode())
    finally:
        os._exit(127)


def _prepare(wanted: Spawn, streams: tuple[int, ...]) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    # First above 2, since a stream may itself be one of the numbers that the next step overwrites.
    for number, stream in enumerate([_high(null if stream < 0 else stream) for stream in streams]):
        os.dup2(stream, number)
    if wanted.tty:
        _control_terminal()
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    if wanted.user == "app":
        uid, gid = os.getuid(), os.getgid()
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        syscalls.map_user(APP_ID, uid, gid)
        mesh_directory.show_app(wanted.home, wanted.directory)
    os.chdir(wanted.cwd)  # only now: a folder that is not shown must not be reached through ".." either


def _high(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _control_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _execute(wanted: Spawn) -> NoReturn:
    program = wanted.argv[0]
    if "/" in program:
        os.execve(program, wanted.argv, wanted.env)  # noqa: S606
    missing = FileNotFoundError(2, os.strerror(2), program)
    for directory in wanted.env.get("PATH", _FALLBACK_PATH).split(":"):
        try:
            os.execve(f"{directory or '.'}/{program}", wanted.argv, wanted.env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            if os.access(error.filename, os.F_OK):  # else the directory cannot be looked into, which says nothing
                missing = error  # type: ignore[assignment]
    raise missing
