"""System calls that Python 3.11 lacks: namespaces, mounts, and attributes of a process.

Rule: standard library only and quick to import, since every task's init starts with it. Every call raises OSError with
the name of what failed.
"""

import ctypes
import os
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process to new namespaces (CLONE_NEWPID: its children)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare", hex(flags))


def setns(fd: int, flags: int) -> None:
    """Join the namespaces of `fd`; with CLONE_NEWNET only the calling thread does."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), "setns", hex(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode())
    _checked(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), "mount", target)


def bind(source: str, target: str) -> None:
    """Mount the file `source` over the file `target`."""
    mount(source, target, "", MS_BIND)


def read_only(target: str) -> None:
    """Make the mount at `target` read-only. Its other flags have to be said again: the kernel allows to drop none of them."""
    kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def private_mounts() -> None:
    """Keep later mounts in this mount namespace."""
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def mount_proc() -> None:
    """Mount a /proc of this process's own pid namespace."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def set_hostname(name: str) -> None:
    raw = name.encode()[:64]
    _checked(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname", name)


def die_with_parent(signal: int) -> None:
    """Have the kernel send `signal` when the thread that started this process ends. A change of credentials clears it."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def dumpable() -> None:
    """Own /proc/self again after a change of credentials."""
    _prctl(_PR_SET_DUMPABLE, 1)


def adopt_orphans() -> None:
    """Become the parent of orphans among this process's descendants."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set the name that `ps` shows; at most 15 bytes count."""
    raw = ctypes.create_string_buffer(name.encode()[:15])
    _checked(_libc.prctl(_PR_SET_NAME, raw, 0, 0, 0), "prctl", "PR_SET_NAME")


def map_user(inside: int, outside_uid: int, outside_gid: int) -> None:
    """After unshare(CLONE_NEWUSER): map this process's ids `outside_*` to `inside`, the only id of the new namespace."""
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{inside} {outside_uid} 1")
    write("/proc/self/gid_map", f"{inside} {outside_gid} 1")


def exit_code(status: int) -> int:
    """Return the exit code of a wait status as a shell gives it: 128 + signal for a process that a signal killed."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def write(path: str, text: str) -> None:
    """Write `text` at once, as files of /proc require. (Importing pathlib would double the time that an init takes to start.)"""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl", str(option))


def _checked(result: int, call: str, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", what)
