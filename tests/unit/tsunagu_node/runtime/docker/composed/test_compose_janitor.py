"""When the janitor of a compose project takes away what the node agent made, and when it may not."""

import pytest

from tsunagu.kit.lockfile import LockFile
from tsunagu_node.runtime.docker.composed import compose_janitor


@pytest.fixture
def swept(monkeypatch):
    found = []
    monkeypatch.setattr(compose_janitor.docker_janitor, "clear", lambda *asked: found.append(asked) or "")
    monkeypatch.setattr(compose_janitor, "_PATIENCE", 0.0)
    return found


def test_what_a_mesh_left_whose_parts_have_all_ended_is_taken_away(tmp_path, swept):
    (tmp_path / "node.lock").touch()  # nobody holds it
    assert compose_janitor.cleared(tmp_path, "/engine.sock", "shop") == ""
    assert swept == [("/engine.sock", "shop")]


@pytest.mark.parametrize("lock", ["api.sock.lock", "node.lock"])
def test_while_a_control_plane_or_a_node_agent_runs_nothing_is_touched(tmp_path, swept, capsys, lock):
    with LockFile(tmp_path / lock):
        assert compose_janitor.cleared(tmp_path, "/engine.sock", "shop") == ""
    assert swept == []
    assert f"the mesh shop runs ({lock} held); nothing is touched" in capsys.readouterr().out


def test_outside_of_a_project_it_says_so_and_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert compose_janitor.main([str(tmp_path)]) == 1
    assert "tells nothing of this container" in capsys.readouterr().err
