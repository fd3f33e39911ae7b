"""The files by which a task's C library finds names: /etc/resolv.conf and /etc/nsswitch.conf.

Rule: /etc/hosts first, then the name server, and nothing else. The machine's own nsswitch.conf may ask services of the machine
(systemd-resolved, multicast DNS, which would keep names in .local for itself), of which a task knows nothing.
"""

from pathlib import Path
from typing import Final

NSSWITCH: Final = Path("/etc/nsswitch.conf")
_HOSTS: Final = "hosts: files dns"
_NO_SERVER: Final = "# There is no name server here: names are in /etc/hosts.\noptions timeout:1 attempts:1\n"


def write(directory: Path, server: str, machine: Path = NSSWITCH) -> None:
    """Write both for the task in `directory`; `server`: the name server's address, empty when there is none."""
    (directory / "resolv.conf").write_text(resolv_conf(server) if server else _NO_SERVER)
    if machine.exists():
        (directory / "nsswitch.conf").write_text(nsswitch(machine.read_text(errors="replace")))


def resolv_conf(server: str, search: str = "") -> str:
    """Return a resolv.conf. Asking again soon bridges the time in which a node agent starts."""
    domains = f"search {search}\n" if search else ""
    return f"{domains}nameserver {server}\noptions timeout:2 attempts:3\n"


def nsswitch(machines: str) -> str:
    """Return the machine's nsswitch.conf with another line for hosts."""
    lines = [line for line in machines.splitlines() if line.partition("#")[0].partition(":")[0].strip() != "hosts"]
    return "\n".join([*lines, _HOSTS, ""])
