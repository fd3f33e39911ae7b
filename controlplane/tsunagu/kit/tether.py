"""Ties a program to the one that started it: when that process dies, however it dies, the program is asked to end.

`tether.py FD STOP_SECONDS [--alone] PROGRAM ARGUMENT...` runs the program in a session of its own. At the end of file on FD
(the read end of a pipe whose other end only the starter holds) the program's process group gets SIGTERM, and SIGKILL after
STOP_SECONDS or when the program has ended. With --alone its group gets SIGKILL also when the program ends by itself. Ends with
the program's exit code. Rule: standard library only, and nothing of ours, so that it starts in no time.
"""

import os
import select
import signal
import sys
from contextlib import suppress


def main(arguments: list[str]) -> int:
    """Returns the program's exit code, 128 + signal when it was killed by one."""
    descriptor, seconds, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    alone = command[0] == "--alone"
    command = command[alone:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe counts
    os.set_inheritable(descriptor, False)
    pid = os.fork()
    if pid == 0:
        _become(command)
    program = os.pidfd_open(pid)
    readable, _, _ = select.select([descriptor, program], [], [])
    if program not in readable:
        _tell(pid, signal.SIGTERM)
        select.select([program], [], [], seconds)
        alone = True
    if alone:
        _tell(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def _tell(group: int, number: signal.Signals) -> None:
    """Signal the program's group. Its number is taken until we have waited for the program, even if that has ended."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _become(command: list[str]) -> None:
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    finally:
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
