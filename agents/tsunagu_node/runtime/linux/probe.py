"""Tries what the linux runtime needs: `python -m tsunagu_node.runtime.linux.probe` prints it, `tsunagu doctor` shows it.

Rule: nothing is inferred from version numbers where it can be tried. Each trial runs in a process of its own, in new
namespaces that end with it. A finding that is not ok names the remedy.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tsunagu_node.runtime import netfilter, nft
from tsunagu_node.runtime.addresses import SANDBOX
from tsunagu_node.runtime.contract import Capture, Redirect
from tsunagu_node.runtime.finding import Finding
from tsunagu_node.runtime.linux import network, ways_out
from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.linux.init.spawn import APP_ID
from tsunagu_node.runtime.linux.ways_out import WaysOut

_TIMEOUT: Final = 20.0
_NETWORK: Final = IPv4Network(SANDBOX)


def findings() -> list[Finding]:
    """Try everything, each after what it builds on; return the findings. Takes some 0.3 s."""
    return [*_inside_namespaces(), _file_rights(os.geteuid()), _cgroups()]


def usable(found: list[Finding]) -> bool:
    """Return whether the linux runtime works here."""
    return all(finding.ok for finding in found if finding.needed)


def _inside_namespaces() -> list[Finding]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tsunagu_node.runtime.linux.probe", "--inside"],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [
            Finding("namespaces", False, f"trying them took longer than {_TIMEOUT:g} s", "Is the machine overloaded?")
        ]
    tried = [Finding(**json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode and all(finding.ok for finding in tried):
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return [*tried, Finding("namespaces", False, words[-1] if words else f"exit code {done.returncode}", "")]
    return tried


def _user_namespace() -> str:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    syscalls.map_user(0, uid, gid)
    return f"user {uid} may make user namespaces"


def _namespaces() -> str:
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC
    syscalls.unshare(flags | syscalls.CLONE_NEWUTS)
    syscalls.private_mounts()
    return "mount, network, pid, ipc and uts namespaces"


def _proc() -> str:
    """Try it in a child, the first process of the new pid namespace."""
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount_proc()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code), "/proc")
    return "a /proc of its own"


def _bridge() -> str:
    network.prepare(_NETWORK)
    return "a bridge"


def _veth() -> str:
    """Make a pair with both ends here: all that matters is whether the kernel can."""
    with network.netlink() as links:
        links.link("add", ifname="probe0", kind="veth", peer={"ifname": "probe1"})
    return "veth pairs"


def _nat() -> str:
    rules: list[Redirect | Capture] = [Capture("127.255.0.0", 16, 15001), Redirect(8080, 15100)]
    with netfilter.connected() as netlink:
        if code := netfilter.refusal(netlink, nft.batch(rules)):
            raise nft.refused(code)
    with socket.create_server(("127.0.0.1", 15001)), socket.create_connection(("127.255.0.1", 3306), 2.0):
        return "nat rules, and a connection to 127.255.0.1 was redirected"


def _ports() -> str:
    syscalls.write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
    return "ordinary users may listen at ports below 1024"


def _nested() -> str:
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    syscalls.map_user(APP_ID, 0, 0)
    return f"apps run as user {os.getuid()}"


_MODULES: Final = "The kernel lacks a module. As root: modprobe {}"
_TRIALS: Final[tuple[tuple[str, Callable[[], str], str], ...]] = (
    ("user namespace", _user_namespace, ""),
    (
        "namespaces",
        _namespaces,
        "Raise the limits in /proc/sys/user/max_*_namespaces; inside a container, start it unconfined",
    ),
    ("proc", _proc, "Parts of /proc are hidden, as containers do: start the container with an unmasked /proc"),
    ("bridge", _bridge, _MODULES.format("bridge")),
    ("veth", _veth, _MODULES.format("veth")),
    ("nat", _nat, _MODULES.format("nf_tables nft_chain_nat nft_redir")),
    ("low ports", _ports, "/proc/sys/net must be writable: start the container with an unmasked /proc"),
    ("ordinary users", _nested, "Raise /proc/sys/user/max_user_namespaces"),
)


def _try_all() -> int:
    """Print a line for each trial; end at the first that fails, since the next ones build on it."""
    for name, trial, remedy in _TRIALS:
        try:
            finding = Finding(name, True, trial())
        except (OSError, nft.NatRefused) as error:
            finding = Finding(name, False, str(error), remedy or _forbidden())
        print(json.dumps(asdict(finding)), flush=True)
        if not finding.ok:
            return 1
    print(json.dumps(asdict(_outbound())), flush=True)
    return 0


def _outbound() -> Finding:
    """Whether tasks reach more than the mesh, without which it works."""
    try:
        with netfilter.connected() as netlink:
            if code := netfilter.refusal(netlink, WaysOut(15009).batch()):
                raise ways_out.refused(code)
    except (OSError, ways_out.RulesRefused) as error:
        remedy = _MODULES.format("nft_reject_ipv4 nft_fib_ipv4")
        return Finding("outbound", False, f"tasks reach the mesh alone: {error}", remedy, needed=False)
    return Finding(
        "outbound", True, "tasks reach what this machine reaches, as far as `egress` lets them", needed=False
    )


def _forbidden() -> str:
    """Return what forbids user namespaces, as far as the kernel says, and the remedy."""
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "AppArmor forbids them. As root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "As root: sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("user/max_user_namespaces") == "0":
        return "As root: sysctl -w user.max_user_namespaces=15000"
    return "Something forbids them here (a container's seccomp profile?): start it with seccomp=unconfined"


def _setting(name: str) -> str:
    with suppress(OSError):
        return Path("/proc/sys", name).read_text().strip()
    return ""


def _file_rights(uid: int) -> Finding:
    """Return whose files apps may change: the sandbox maps one id, so that they are whoever starts the mesh."""
    if uid:
        return Finding("file rights", True, f"apps have those of user {uid}", needed=False)
    detail = "WARNING: apps have those of root: they may read and change every file that root owns"
    return Finding("file rights", False, detail, "Run tsunagu as an ordinary user", needed=False)


def _cgroups() -> Finding:
    own = Path("/proc/self/cgroup").read_text().strip().splitlines()[-1].rpartition(":")[2]
    folder = Path("/sys/fs/cgroup") / own.lstrip("/")
    good = (folder / "cgroup.controllers").exists() and os.access(folder, os.W_OK)
    detail = f"{folder} can be divided" if good else "no cgroup of this user's own"
    remedy = "" if good else "Not used today: cpu and memory of task definitions set no limits"
    return Finding("cgroups", good, detail, remedy, needed=False)


def main(arguments: list[str]) -> int:
    """Print what was found; return 0 when the linux runtime works here, otherwise 1."""
    if arguments == ["--inside"]:
        return _try_all()
    found = findings()
    for finding in found:
        print(f"{'ok ' if finding.ok else 'NO '} {finding.name}: {finding.detail}")
        if finding.remedy:
            print(f"    {finding.remedy}")
    return 0 if usable(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
