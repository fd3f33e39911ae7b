"""The files by which a task's C library finds names."""

from tsunagu_node.runtime import resolving


def test_hosts_first_then_the_name_server_and_nothing_of_the_machine_s(tmp_path):
    machine = tmp_path / "machine"
    machine.write_text("passwd: files\n hosts: files mdns4_minimal [NOTFOUND=return] resolve dns # all\n# hosts: nis\n")
    resolving.write(tmp_path, "169.254.169.253", machine)
    assert (tmp_path / "resolv.conf").read_text().splitlines()[0] == "nameserver 169.254.169.253"
    assert (tmp_path / "nsswitch.conf").read_text() == "passwd: files\n# hosts: nis\nhosts: files dns\n"


def test_a_machine_without_the_file_has_none_to_show(tmp_path):
    resolving.write(tmp_path, "", tmp_path / "none")
    assert "nameserver" not in (tmp_path / "resolv.conf").read_text()
    assert not (tmp_path / "nsswitch.conf").exists()


def test_search_domains_are_the_definition_s():
    assert resolving.resolv_conf("10.0.0.1", "a.example b.example").startswith(
        "search a.example b.example\nnameserver 10.0.0.1\n"
    )
