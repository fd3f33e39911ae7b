"""Prints what listens in a task's network, as /proc/net shows it: `main([])`, run in the pause container.

For a node agent that does not see the machine's processes, since it runs in a container itself. Standard library only.
"""

import sys


def main(_arguments: list[str]) -> None:
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as table:  # noqa: PTH123 - pathlib is slow to import
            sys.stdout.write(table.read())
