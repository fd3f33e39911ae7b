"""`python -m tsunagu_node` refuses what cannot work with exit code 2 and the reason."""

import pytest

from tsunagu.kit.lockfile import LockFile
from tsunagu_node.__main__ import main


def refusal(capsys, home) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home)])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_directory_has_one_node_agent(tmp_path, capsys):
    home = tmp_path / "h"
    home.mkdir()
    with LockFile(home / "node.lock"):
        assert f"tsunagu node: another node agent runs in {home}; there is one per directory" in refusal(capsys, home)


def test_a_directory_whose_sockets_would_have_too_long_a_path_is_refused(tmp_path, capsys):
    assert "choose a shorter --home" in refusal(capsys, tmp_path / ("x" * 100))


def test_a_life_pipe_that_is_not_there_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TSUNAGU_LIFE_FD", "987")
    assert "TSUNAGU_LIFE_FD=987 is not the number of an open file descriptor" in refusal(capsys, tmp_path / "h")
