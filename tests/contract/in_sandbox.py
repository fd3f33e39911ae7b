"""Runs a command inside a sandbox: `python in_sandbox.py HOME COMMAND...`; its exit code. Everything ends with it.

The command finds in TSUNAGU_TEST_CHANNEL the number of the file descriptor that leads outside, as a node agent does.
"""

import os
import socket
import sys
from pathlib import Path

from tsunagu_node.outside.relay.starting import OutsideProcess
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.linux import sandbox
from tsunagu_node.runtime.linux.launcher import Attended, attend


def main(home: Path, command: list[str]) -> int:
    for folder in ("tasks", "log"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    life, _kept_open = os.pipe2(os.O_CLOEXEC)
    box = sandbox.create(Folders.of(home), life)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.environ["TSUNAGU_TEST_CHANNEL"] = str(theirs.fileno())
    process = sandbox.spawn(box, command, (theirs.fileno(),))
    theirs.close()
    return attend(process, Attended(box, ours, life, OutsideProcess(Folders.of(home), life)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
