from pathlib import Path

import pytest

from tsunagu.settings import Home, ServeSettings, SettingsError, home_of


def test_a_path_comes_before_the_environment_and_a_name_too():
    environment = {"TSUNAGU_HOME": "/srv/mesh", "XDG_STATE_HOME": "/state"}
    assert home_of(Path("/other"), "", environment).root == Path("/other")
    assert home_of(None, "shop", environment).root == Path("/state/tsunagu/shop")
    assert home_of(None, "", environment).root == Path("/srv/mesh")
    assert home_of(None, "", {"XDG_STATE_HOME": "/state"}).root == Path("/state/tsunagu/default")
    assert home_of(None, "", {}).root == Path.home() / ".local/state/tsunagu/default"


@pytest.mark.parametrize(("path", "name"), [(Path("/x"), "shop"), (None, "a/b"), (None, "..")])
def test_what_cannot_be_a_home_is_refused(path, name):
    with pytest.raises(SettingsError):
        home_of(path, name, {})


def test_a_home_whose_sockets_would_be_too_long_says_by_how_much():
    home = Home(Path("/" + "x" * 99))
    with pytest.raises(SettingsError, match="too long by 3 bytes"):
        home.check()
    Home(Path("/" + "x" * 96)).check()


def test_serve_reads_its_environment_once(tmp_path):
    settings = ServeSettings.parse(Home(tmp_path), {"TSUNAGU_LIFE_FD": "7", "TSUNAGU_LOG_LEVEL": "DEBUG"})
    assert (settings.life_fd, settings.log_level) == (7, "debug")
    assert ServeSettings.parse(Home(tmp_path), {}).life_fd is None


@pytest.mark.parametrize("environment", [{"TSUNAGU_LIFE_FD": "x"}, {"TSUNAGU_LOG_LEVEL": "loud"}])
def test_an_environment_that_means_nothing_is_refused(environment, tmp_path):
    with pytest.raises(SettingsError):
        ServeSettings.parse(Home(tmp_path), environment)


def test_the_log_of_a_node_agent_is_known_by_its_socket():
    home = Home(Path("/state/nodes/shop"))
    assert home.node_log("unix:/state/nodes/shop/node.sock") == Path("/state/nodes/shop/log/node.log")
    assert home.node_log("unix:/state/nodes/shop/nodes/docker/node.sock") == Path(
        "/state/nodes/shop/log/node-docker.log"
    )


def test_files_of_each_node_are_found(tmp_path):
    for folder in ("tasks", "nodes/linux/tasks", "nodes/docker/tasks"):
        (tmp_path / folder).mkdir(parents=True)
    for lock in ("up.lock", "nodes/linux/node.lock"):
        (tmp_path / lock).touch()
    home = Home(tmp_path)
    assert {str(one.relative_to(tmp_path)) for one in home.task_folders} == {
        "tasks",
        "nodes/linux/tasks",
        "nodes/docker/tasks",
    }
    assert {str(one.relative_to(tmp_path)) for one in home.locks} == {"up.lock", "nodes/linux/node.lock"}


def test_commands_of_hooks_have_the_environment_of_up_without_what_is_the_meshs_own(tmp_path):
    given = {
        "PATH": "/bin",
        "TOKEN": "t",
        "TSUNAGU_LIFE_FD": "7",
        "TSUNAGU_HEARTBEAT_FD": "8",
        "TSUNAGU_HOME": "/other",
    }
    settings = ServeSettings.parse(Home(tmp_path), given)
    assert settings.hook_environment == {"PATH": "/bin", "TOKEN": "t", "TSUNAGU_HOME": str(tmp_path)}
