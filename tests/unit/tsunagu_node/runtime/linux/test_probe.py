"""What is missing is told with its remedy; what is tried for real is the contract suite's."""

import errno
import json

import pytest

from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.linux import probe, runtime
from tsunagu_node.runtime.linux.probe import Finding
from tsunagu_node.runtime.linux.runtime import LinuxRuntime


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


def test_whose_file_rights_apps_have_is_said_and_root_is_warned():
    assert probe._file_rights(1000) == Finding("file rights", True, "apps have those of user 1000", needed=False)
    root = probe._file_rights(0)
    assert "WARNING: apps have those of root" in root.detail
    assert (root.ok, root.remedy) == (False, "Run tsunagu as an ordinary user")
    assert probe.usable([root])
    assert "file rights" in {finding.name for finding in probe.findings()}


@pytest.mark.parametrize(("line", "root"), [("         0          0          1\n", True), ("0 1000 1\n", False)])
def test_a_runtime_that_root_started_says_so(tmp_path, monkeypatch, line, root):
    """Its reason is what `tsunagu up` says when the node is there."""
    (tmp_path / "uid_map").write_text(line)
    assert runtime.started_by_root(tmp_path / "uid_map") is root
    monkeypatch.setattr(runtime, "started_by_root", lambda: root)
    assert ("WARNING: it was started by root" in LinuxRuntime(Folders.of(tmp_path), None).reason) is root
