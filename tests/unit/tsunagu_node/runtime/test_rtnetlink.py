"""Links, addresses and routes, made in namespaces of a test's own."""

import os
import subprocess
import sys

STEPS = """
import os
from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.rtnetlink import Links

uid, gid = os.getuid(), os.getgid()
syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
syscalls.map_user(0, uid, gid)
ours = os.open("/proc/self/ns/net", os.O_RDONLY)


def links():
    return sorted(line.partition(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:])


with Links() as made:
    try:
        made.route("10.96.0.0/20", "169.254.0.2")
    except OSError as error:
        print(error.strerror)
    made.veth("here", "there", ours)
    made.set_up("there", "169.254.0.2", 30)
    made.set_up("here", "169.254.0.1", 30)
    made.set_up("here", "169.254.0.1", 30)  # as it was
    made.route("10.96.0.0/20", "169.254.0.2")
    made.refuse("10.96.0.1/32")
    print(*links())
    print("0000600A" in open("/proc/net/route").read())
    try:
        made.veth("here", "there", ours)
    except FileExistsError:
        print("it is there")
    made.delete("here")
    made.delete("here")
    print(*links())
"""


def test_a_pair_of_links_with_addresses_and_routes():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "netlink: Network is unreachable",
        "here lo there",
        "True",
        "it is there",
        "lo",
    ]
