"""The links of the sandbox: a bridge, and for each task a veth pair into its network namespace.

Rule: everything here is a blocking call of a millisecond or so, to be made in a worker thread (`asyncio.to_thread`). What
has to happen in a task's namespace happens in a thread that joins it and ends there. What the kernel refuses is an OSError.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, TypeVar

from tsunagu.kit.lazy import bare
from tsunagu_node.runtime import netfilter, nft
from tsunagu_node.runtime.contract import Capture, Redirect
from tsunagu_node.runtime.linux.init import syscalls

# The package would import its database, its tools for every other kind of socket, and psutil where that is installed: 0.05
# to 0.1 s of CPU before a node is there, three quarters of what pyroute2 costs.
with bare("pyroute2"):
    from pyroute2.iproute import IPRoute as _IPRoute  # type: ignore[attr-defined]
    from pyroute2.netlink.exceptions import NetlinkError

_Result = TypeVar("_Result")
IPRoute: Any = _IPRoute  # untyped
BRIDGE: Final = "tsunagu0"
_INSIDE: Final = "eth0"
# Of the bridge alone, so it never changes. A bridge without one of its own takes that of the lowest of its links: it would change
# with tasks that come and go, and for seconds the others would send to the one that they remember.
_BRIDGE_MAC: Final = "02:74:73:6e:67:01"


@contextmanager
def netlink() -> Iterator[Any]:
    """Yield pyroute2's interface to this thread's network namespace. Its NetlinkError is raised as OSError."""
    try:
        with IPRoute() as links:
            yield links
    except NetlinkError as error:
        number = abs(error.code)
        raise OSError(number, f"netlink: {os.strerror(number)}") from error


def in_namespace(netns: int, work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns in the network namespace `netns` (a file descriptor). Sockets made there stay in it."""
    outcome: list[_Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.setns(netns, syscalls.CLONE_NEWNET)
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            failure.append(error)

    # Not a pooled thread: one that has joined a namespace must do nothing else.
    thread = threading.Thread(target=run, name="in-namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def prepare(network: IPv4Network) -> None:
    """Make the sandbox's loopback and its bridge, which has the first address of `network`. Idempotent."""
    with netlink() as links:
        _up(links, "lo")
        if not links.link_lookup(ifname=BRIDGE):
            links.link("add", ifname=BRIDGE, kind="bridge", address=_BRIDGE_MAC)
            bridge = _index(links, BRIDGE)
            links.addr("add", index=bridge, address=str(network[1]), prefixlen=network.prefixlen)
        _up(links, BRIDGE)


def attach(netns: int, init: int, ip: str, network: IPv4Network) -> None:
    """Link the network namespace of process `init` (also open as `netns`) to the bridge, with the address `ip`."""
    name = link_name(ip)
    with netlink() as links:
        for stale in links.link_lookup(ifname=name):  # the kernel is still taking down what had this address
            with suppress(NetlinkError):  # or has done so by now
                links.link("del", index=stale)
        peer = {"ifname": _INSIDE, "net_ns_pid": init}
        links.link("add", ifname=name, kind="veth", peer=peer, master=_index(links, BRIDGE), state="up")
    in_namespace(netns, lambda: _inside(ip, network))


def detach(ip: str) -> None:
    """Remove the link of `ip`, if there is one."""
    with netlink() as links:
        for index in links.link_lookup(ifname=link_name(ip)):
            links.link("del", index=index)


def nat(netns: int, rules: Sequence[Redirect | Capture]) -> None:
    """Make `rules` the only nat rules of the namespace. Raises nft.NatRefused."""

    def work() -> None:
        with netfilter.connected() as channel:
            if code := netfilter.refusal(channel, nft.batch(rules)):
                raise nft.refused(code)

    in_namespace(netns, work)


def link_name(ip: str) -> str:
    """Return the name of the sandbox's end of the veth pair."""
    return f"t{int(IPv4Address(ip)):08x}"


def _inside(ip: str, network: IPv4Network) -> None:
    with netlink() as links:
        _up(links, "lo")
        index = _index(links, _INSIDE)
        links.addr("add", index=index, address=ip, prefixlen=network.prefixlen)
        _up(links, _INSIDE)
        links.route("add", dst="default", gateway=str(network[1]))


def _up(links: Any, name: str) -> None:
    links.link("set", index=_index(links, name), state="up")


def _index(links: Any, name: str) -> int:
    found: list[int] = links.link_lookup(ifname=name)
    if not found:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    return found[0]
