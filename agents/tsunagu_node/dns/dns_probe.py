"""Tries what programs of this machine need to find tasks by DNS, for `tsunagu doctor`. None of it is needed for a mesh to run."""

import errno
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tsunagu_node.dns.machine_dns import LOOPBACK, PORT
from tsunagu_node.runtime import listener
from tsunagu_node.runtime.finding import Finding

_TWIN: Final = "127.88.255.254"
_LOW: Final = (80, 443, 81)
_NSSWITCH: Final = Path("/etc/nsswitch.conf")


def findings(nsswitch: Path = _NSSWITCH) -> Sequence[Finding]:
    """Return what was found."""
    return [_server(), _low_ports(), _local(nsswitch)]


def _server() -> Finding:
    place = f"{LOOPBACK}:{PORT}"
    refused = _refused(LOOPBACK, PORT, "udp")
    if not refused:
        return Finding("DNS", True, f"a mesh answers programs of this machine at {place}", needed=False)
    why = f"{place} is taken, most often by another mesh: the next takes any free port, which `tsunagu resolve` tells"
    return Finding("DNS", True, why, needed=False)


def _low_ports() -> Finding:
    refusals = [_refused(_TWIN, port, "tcp") for port in _LOW]
    if any(number == 0 for number in refusals):
        return Finding("twins", True, "listen at all ports of their tasks", needed=False)
    detail = "ports below 1024 are root's: a twin listens at 8000 more (80 is 8080), which SRV records tell"
    return Finding("twins", False, detail, "sysctl net.ipv4.ip_unprivileged_port_start=80", needed=False)


def _local(nsswitch: Path) -> Finding:
    line = ""
    with suppress(OSError):
        line = next((one for one in nsswitch.read_text().splitlines() if one.startswith("hosts:")), "")
    if "mdns" not in line and "resolve" not in line.split():
        return Finding(".local", True, "names in .local are asked for as others are", needed=False)
    detail = "names in .local are asked for by multicast DNS: programs of this machine find no namespace NAME.local"
    return Finding(".local", False, detail, "call a namespace NAME.internal", needed=False)


def _refused(host: str, port: int, protocol: str) -> int:
    """Return the errno with which the kernel refuses a socket there; 0 when it does not."""
    try:
        listener.bound(host, port, protocol).close()
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0
