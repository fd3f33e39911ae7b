"""What `tsunagu doctor` says of DNS for programs of this machine."""

import pytest

from tsunagu_node.dns import dns_probe


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("hosts: files dns", True),
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns", False),
        ("hosts: files resolve [!UNAVAIL=return] dns", False),
        ("passwd: files", True),
    ],
)
def test_names_in_local_are_not_for_name_servers_on_many_machines(tmp_path, line, ok):
    path = tmp_path / "nsswitch.conf"
    path.write_text(line + "\n")
    found = {one.name: one for one in dns_probe.findings(path)}
    assert found[".local"].ok == ok
    assert bool(found[".local"].remedy) != ok


def test_nothing_of_it_is_needed_and_a_remedy_is_for_what_is_missing(tmp_path):
    found = dns_probe.findings(tmp_path / "none")
    assert [one.name for one in found] == ["DNS", "twins", ".local"]
    assert not any(one.needed for one in found)
    assert all(one.ok != bool(one.remedy) for one in found)


def test_where_low_ports_are_root_s_it_says_what_a_twin_does(monkeypatch, tmp_path):
    monkeypatch.setattr(dns_probe, "_refused", lambda host, port, protocol: 13)
    found = {one.name: one for one in dns_probe.findings(tmp_path / "none")}
    assert "80 is 8080" in found["twins"].detail
    assert "any free port" in found["DNS"].detail
