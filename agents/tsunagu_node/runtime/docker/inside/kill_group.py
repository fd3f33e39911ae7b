"""Signals a process of a container, with all that it started: `main([PID, SIGNAL])`, run in a container that shares its pids.

For commands that outlive their caller, in an image without a program that could. Standard library only.
"""

import os
from contextlib import suppress


def main(arguments: list[str]) -> None:
    pid, number = map(int, arguments)
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
