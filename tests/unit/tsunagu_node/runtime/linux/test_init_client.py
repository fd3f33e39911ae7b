"""What the init of a task is asked to start for each kind of process."""

from tsunagu_node.runtime.contract import Exec, Image, Process, Program
from tsunagu_node.runtime.linux.init_client import Start, start_request

ENV = {"A": "1"}


def test_an_image_is_the_command_that_stands_in_for_it_run_by_an_ordinary_user():
    process = Process("app", Image("shop/app:1", ("sh", "-c"), ("exec app",)), ENV, "/srv")
    assert start_request(process, "/tasks/web-1") == Start("app", ["sh", "-c", "exec app"], ENV, "/srv", "app")


def test_a_program_of_the_agent_is_run_by_root_in_the_task_s_directory():
    process = Process("envoy", Program(("envoy", "--config-path", "x")), ENV)
    assert start_request(process, "/tasks/web-1") == Start(
        "envoy", ["envoy", "--config-path", "x"], ENV, "/tasks/web-1", "root"
    )


def test_a_command_in_a_container_s_place_has_the_caller_s_streams_and_leaves_no_trace():
    process = Process("app#1", Exec("app", ("psql",), (3, 4, 5), tty=True), ENV)
    assert start_request(process, "/tasks/web-1") == Start(
        "app#1", ["psql"], ENV, "/", "app", log=False, keep=False, tty=True, streams=(3, 4, 5)
    )
