"""Ties a program to the one that tests it: when the test's process dies, however it dies, the program is asked to end.

`tether.py FD STOP_SECONDS PROGRAM ARGUMENT...` runs the program in a session of its own. At the end of file on FD (the
read end of a pipe whose other end only the test holds) the program gets SIGTERM, and SIGKILL after STOP_SECONDS. Ends
with the program's exit code. Rule: standard library only, and nothing of ours, so that it starts in no time.
"""

import os
import select
import signal
import sys


def main(arguments: list[str]) -> int:
    """Returns the program's exit code, 128 + signal when it was killed by one."""
    descriptor, seconds, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe counts
    os.set_inheritable(descriptor, False)
    pid = os.fork()
    if pid == 0:
        _become(command)
    program = os.pidfd_open(pid)
    readable, _, _ = select.select([descriptor, program], [], [])
    if program not in readable:
        signal.pidfd_send_signal(program, signal.SIGTERM)
        if not select.select([program], [], [], seconds)[0]:
            signal.pidfd_send_signal(program, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


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
