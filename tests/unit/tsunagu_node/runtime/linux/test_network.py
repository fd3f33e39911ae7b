"""What the kernel refuses of links comes as an OSError, whatever the library calls it."""

import errno
import json
from ipaddress import IPv4Network

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from tsunagu_node.runtime.linux import network, probe


class Links:
    """A kernel without the modules for bridges and veth pairs."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def link_lookup(self, ifname):
        return [1] if ifname == "lo" else []

    def link(self, command, **_):
        if command == "add":
            raise NetlinkError(errno.EOPNOTSUPP, "Operation not supported")


@pytest.fixture(autouse=True)
def bare_kernel(monkeypatch):
    monkeypatch.setattr(network, "IPRoute", Links)


def test_a_refusal_is_an_oserror_with_its_number():
    with pytest.raises(OSError, match="netlink: Operation not supported") as caught:
        network.prepare(IPv4Network("10.88.0.0/16"))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_link_that_is_not_there_is_one_too():
    with pytest.raises(OSError, match=r"No such device.*tsunagu0"):
        network.attach(-1, 1, "10.88.0.2", IPv4Network("10.88.0.0/16"))


@pytest.mark.parametrize("module", ["bridge", "veth"])
def test_doctor_names_the_module_that_is_missing(monkeypatch, capsys, module):
    trials = tuple(trial for trial in probe._TRIALS if trial[0] == module)
    monkeypatch.setattr(probe, "_TRIALS", trials)
    assert probe.main(["--inside"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["remedy"]) == (False, f"The kernel lacks a module. As root: modprobe {module}")
