"""What is missing is told with its remedy; what is tried for real is the contract suite's."""

import errno
import json

import pytest
from node_agent import probe
from node_agent.probe import Finding


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1", "kernel/unprivileged_userns_clone": "1"},
            "AppArmor forbids them. As root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"kernel/unprivileged_userns_clone": "0"}, "As root: sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "As root: sysctl -w user.max_user_namespaces=15000"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "0"}, "seccomp=unconfined"),
    ],
)
def test_who_forbids_user_namespaces_is_named_with_the_remedy(monkeypatch, capsys, settings, remedy):
    """As on Ubuntu 23.10 and later: the namespace is made, and writing its uid_map is refused."""

    def refused():
        raise PermissionError(errno.EPERM, "Operation not permitted", "/proc/self/uid_map")

    monkeypatch.setattr(probe, "_TRIALS", (("user namespace", refused, ""), ("namespaces", pytest.fail, "")))
    monkeypatch.setattr(probe, "_setting", lambda name: settings.get(name, ""))

    assert probe.main(["--inside"]) == 1

    [told] = [Finding(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert not told.ok
    assert "uid_map" in told.detail
    assert remedy in told.remedy
    assert not probe.usable([told])


def test_what_is_not_needed_hinders_nothing():
    assert probe.usable([Finding("nat", True, "redirected"), Finding("cgroups", False, "none", "", needed=False)])
