"""The rules at the sandbox's bridge: a real kernel takes them, and lets through what they say. In namespaces of a process of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = r"""
import json, os, socket, sys, time
from tsunagu_node.runtime import netfilter
from tsunagu_node.runtime.linux import ways_out
from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.linux.ways_out import WaysOut
from tsunagu_node.runtime.rtnetlink import Links

TASK, BRIDGE, PLACE, ONE, OTHER = "10.77.0.2", "10.77.0.1", "198.51.100.7", "203.0.113.1", "203.0.113.2"
uid, gid = os.getuid(), os.getgid()
syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
syscalls.map_user(0, uid, gid)
(ready, told), (go, goes) = os.pipe(), os.pipe()
child = os.fork()

def tcp(host, port):
    with socket.socket() as one:
        one.settimeout(5)
        return {0: "led", 111: "refused"}.get(code := one.connect_ex((host, port)), os.strerror(code))

def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.connect((host, port))
        one.send(b"x")
        try:
            return one.recv(1).decode()
        except ConnectionRefusedError:
            return "refused"

def seen():
    calls = {"place": (PLACE, 80), "its other port": (PLACE, 81), "one": (ONE, 80), "other": (OTHER, 80)}
    return {**{name: tcp(*call) for name, call in calls.items()}, "udp": udp(ONE, 53), "bridge": tcp(BRIDGE, 9)}

if child == 0:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    os.write(told, b"n")
    os.read(go, 1)
    with Links() as links:
        links.set_up("lo", "127.0.0.1", 8)
        links.set_up("eth0", TASK, 16)
        links.route("0.0.0.0/0", BRIDGE)
    deadline = time.monotonic() + 10
    while tcp(BRIDGE, 1) != "refused" and time.monotonic() < deadline:
        pass
    while True:
        os.write(told, b"r")
        if os.read(go, 1) != b"g":
            os._exit(0)
        print(json.dumps(seen()), flush=True)

def apply(messages):
    with netfilter.connected() as channel:
        if code := netfilter.refusal(channel, messages):
            raise ways_out.refused(code)

def look():
    os.write(goes, b"g")
    os.read(ready, 1)

os.read(ready, 1)
with Links() as links:
    links.set_up("lo", "127.0.0.1", 8)
    links.veth("t1", "eth0", os.open(f"/proc/{child}/ns/net", os.O_RDONLY))
    links.set_up("t1", BRIDGE, 16)
os.write(goes, b"g")
os.read(ready, 1)
relay = socket.create_server(("0.0.0.0", 15009))
places, task = frozenset([(PLACE, 80)]), frozenset([TASK])
apply(WaysOut(15009).batch())
look()
apply(WaysOut(15009, places, denied=task).batch())
look()
apply(WaysOut(15009, places, named=task).batch())
apply(ways_out.admitted(TASK, [ONE], 60))
look()
apply(WaysOut(15009, named=task).batch())
apply(ways_out.admitted(TASK, [ONE], 60))
look()
apply(ways_out.dismissed(TASK, [ONE, OTHER]))
look()
os.write(goes, b"e")
os.waitpid(child, 0)
"""
OPEN = dict.fromkeys(("place", "its other port", "one", "other"), "led") | {"udp": "refused", "bridge": "refused"}
SHUT = dict.fromkeys(OPEN, "refused")


def test_what_leaves_is_led_or_refused_at_once():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    everything, denied, named, without_place, dismissed = map(json.loads, done.stdout.splitlines())
    assert everything == OPEN
    assert denied == {**SHUT, "place": "led"}
    assert named == {**SHUT, "place": "led", "one": "led"}
    assert without_place == {**SHUT, "one": "led"}, "what was admitted stays when the rules change"
    assert dismissed == SHUT
