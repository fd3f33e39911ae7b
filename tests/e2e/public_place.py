"""Places with public-looking addresses, on a machine that need not reach any: a network namespace behind a veth, with servers in it.

`with public_place() as place`: needs root. `place.listed` and `place.other` are two of its addresses, and its name server says
that names below `listed.example` and `other.example` are there.
"""

import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.rtnetlink import Links

ECHO, BANNER, HTTP = 7000, 7001, 8080
TTL = 1


@dataclass(frozen=True)
class Place:
    """`resolv_conf`: names its name server."""

    listed: str
    other: str
    resolv_conf: Path


@contextmanager
def public_place(folder: Path):
    if os.getuid() != 0:
        pytest.skip("a public-looking address on this machine needs root")
    with _number() as number:
        yield from _place(number, folder)


@contextmanager
def _number():
    """One of 60, which no other place of this machine has: another test run may have one, too."""
    for number in range(60):
        with socket.socket(socket.AF_UNIX) as mark, suppress(OSError):
            mark.bind(f"\0tsunagu-public-place-{number}")
            yield number
            return
    raise RuntimeError("60 places are there already")


def _place(number: int, folder: Path):
    here, there, more = (f"198.51.100.{4 * number + 1}", f"198.51.100.{4 * number + 2}", f"203.0.113.{number + 1}")
    links = (f"pub{number}", f"pib{number}")
    pid, netns = _begun(links, (here, there, more), folder)
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {there}\n")
    try:
        os.close(netns)
        yield Place(there, more, resolv_conf)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with Links() as kernel:
            kernel.delete(links[0])


def _begun(links, addresses, folder):
    ready, told = os.pipe()
    go, goes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.die_with_parent(signal.SIGKILL)
            syscalls.unshare(syscalls.CLONE_NEWNET)
            os.write(told, b"n")
            os.read(go, 1)
            _serve(links[1], addresses, folder, lambda: os.write(told, b"r"))
        finally:
            os._exit(1)
    os.read(ready, 1)
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    here, there, more = addresses
    with Links() as kernel:
        kernel.delete(links[0])
        kernel.veth(*links, netns)
        kernel.set_up(links[0], here, 30)
        os.write(goes, b"g")
        assert os.read(ready, 1) == b"r", "the public place does not serve"
        kernel.route(f"{more}/32", there)
    for fd in (ready, told, go, goes):
        os.close(fd)
    return pid, netns


def _serve(link, addresses, folder, ready):
    here, there, more = addresses
    with Links() as kernel:
        kernel.set_up("lo", more, 32)
        kernel.set_up(link, there, 30)
        kernel.route("0.0.0.0/0", here)
    servers = [(ECHO, echo), (BANNER, banner), (HTTP, lambda one: page(one, folder))]
    listeners = [(socket.create_server(("0.0.0.0", port), backlog=2048), work) for port, work in servers]
    names, datagrams = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    names.bind(("0.0.0.0", 53))
    datagrams.bind(("0.0.0.0", ECHO))
    for listener, work in listeners:
        threading.Thread(target=accept, args=(listener, work), daemon=True).start()
    threading.Thread(target=repeat, args=(datagrams,), daemon=True).start()
    ready()
    while True:
        raw, caller = names.recvfrom(4096)
        with suppress(Exception):
            names.sendto(answer(raw, there, more), caller)


def accept(listener, work):
    threading.stack_size(256 * 1024)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=attend, args=(client, work), daemon=True).start()


def attend(client, work):
    with client, suppress(OSError):
        work(client)


def echo(client):
    while piece := client.recv(65536):
        client.sendall(piece)


def banner(client):
    client.sendall(b"220 ready\r\n")
    echo(client)


def page(client, folder):
    """A file of the folder, as an HTTP server gives it; of a folder its names, as an index of packages does."""
    head = b""
    while b"\r\n\r\n" not in head and (piece := client.recv(4096)):
        head += piece
    path = folder / head.split()[1].decode().strip("/")
    if path.is_dir():
        body = "".join(f'<a href="{one.name}">{one.name}</a>\n' for one in sorted(path.iterdir())).encode()
        kind = b"text/html"
    elif path.is_file():
        body, kind = path.read_bytes(), b"application/octet-stream"
    else:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    client.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (kind, len(body))
    )
    client.sendall(body)


def repeat(datagrams):
    while True:
        raw, caller = datagrams.recvfrom(65536)
        datagrams.sendto(raw, caller)


def answer(raw, listed, other):
    query = dns.message.from_wire(raw)
    reply = dns.message.make_response(query)
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True)
    ip = {"listed.example": listed, "other.example": other}.get(".".join(name.split(".")[-2:]))
    if ip is None:
        reply.set_rcode(3)
    elif question.rdtype == 1:
        reply.answer.append(dns.rrset.from_text(question.name, TTL, "IN", "A", ip))
    return reply.to_wire()


if __name__ == "__main__":
    with public_place(Path(sys.argv[1])) as found:
        print(found, flush=True)
        signal.pause()
