"""A proxy's log is found by its log group and stream, and the way to it goes with the log."""

import pytest

from tsunagu.v1 import objects_pb2
from tsunagu_node.task.output import log_streams


def log(group, prefix=""):
    return objects_pb2.ProxyLog(group=group, stream_prefix=prefix)


@pytest.fixture
def file(tmp_path):
    """Where the log of a task will be."""
    folder = tmp_path / "tasks" / "web-1" / "log"
    folder.mkdir(parents=True)
    return folder / "envoy.log"


@pytest.mark.parametrize(
    ("group", "prefix", "place"),
    [
        ("web", "", "awslogs/web/envoy/web-1"),
        ("/ecs/web", "proxies", "awslogs/ecs/web/proxies/envoy/web-1"),
        ("/ecs/../../../../etc", "../x", "awslogs/ecs/etc/x/envoy/web-1"),  # whoever may write to the registry may try
        ("..", "/", "awslogs/envoy/web-1"),
    ],
)
def test_a_stream_is_a_file_below_the_home(tmp_path, group, prefix, place):
    assert log_streams.stream(tmp_path, log(group, prefix), "web-1") == tmp_path / place


def test_it_leads_to_the_log_once_that_is_there(tmp_path, file):
    for _ in ("created", "adopted"):
        log_streams.link(tmp_path, log("web"), "web-1", file)
    file.write_text("a line\n")
    assert log_streams.stream(tmp_path, log("web"), "web-1").read_text() == "a line\n"


def test_it_goes_with_the_log_and_empty_folders_go_too(tmp_path, file):
    log_streams.link(tmp_path, log("web", "proxies"), "web-1", file)
    log_streams.sweep(tmp_path)
    assert log_streams.stream(tmp_path, log("web", "proxies"), "web-1").is_symlink()  # its log may still come
    file.parent.rmdir()
    log_streams.sweep(tmp_path)
    assert not (tmp_path / log_streams.FOLDER).exists()


def test_without_log_groups_there_is_nothing_to_sweep(tmp_path):
    log_streams.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
