"""What doctor says in all."""

import json

import pytest

from tsunagu.cli.command_table import ROOT, load
from tsunagu.cli.commands import doctor
from tsunagu_node.runtime.finding import Finding

OF_DNS = ("DNS", "twins", ".local")

GOOD, BAD = Finding("nat", True, "nat rules"), Finding("nat", False, "no nf_tables", "modprobe")
ENGINE, NONE = (
    Finding("docker", True, "Docker 20.10", needed=False),
    Finding("docker", False, "none", "x", needed=False),
)


@pytest.mark.parametrize(
    ("of_linux", "of_docker", "says", "code"),
    [
        (GOOD, ENGINE, "linux; docker for a mesh of which a container runs in its image alone; both where", 0),
        (GOOD, NONE, "linux; every container needs a command", 0),
        (BAD, ENGINE, "docker, when it is asked for", 0),
        (BAD, NONE, "none works here", 1),
    ],
)
def test_it_says_which_runtime_a_mesh_gets(monkeypatch, capsys, of_linux, of_docker, says, code):
    monkeypatch.setattr(doctor.linux, "findings", lambda: [of_linux])
    monkeypatch.setattr(doctor.docker, "findings", lambda _: iter([of_docker]))
    with pytest.raises(SystemExit) as ended:
        load("doctor", ROOT["doctor"]).main(["-o", "json"])
    assert ended.value.code == code
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == ["nat", "docker", *OF_DNS, "runtime"]
    assert found[-1]["detail"].startswith(says)
    assert (found[-1]["remedy"] == "") is (code == 0)
