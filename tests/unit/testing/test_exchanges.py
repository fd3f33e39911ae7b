"""Loads of plain TCP and of gRPC count as those of HTTP do."""

import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from tsunagu.testing import Load, Plan


@contextmanager
def lines(answer):
    """A server that gives each connection `answer(first line)`; None: nothing."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            said = answer(self.rfile.readline())
            if said is not None:
                self.wfile.write(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield "tcp://127.0.0.1:{1}".format(*server.server_address)
        server.shutdown()
        thread.join()


@contextmanager
def greeter(answer):
    """A gRPC server with one method, `/x.Y/Say`; `answer(request)` may be the status to end with."""

    def say(request, context):
        said = answer(request)
        return said if isinstance(said, bytes) else context.abort(said, "as told")

    handler = grpc.method_handlers_generic_handler("x.Y", {"Say": grpc.unary_unary_rpc_method_handler(say)})
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/x.Y/Say"
    finally:
        server.stop(0).wait()


def ten(**more):
    return Plan(rps=100, connections=2, seconds=0.1, label=lambda answer: answer.body.decode().strip(), **more)


def test_the_first_line_is_the_answer_and_each_request_a_connection():
    with lines(lambda asked: b"you said " + asked) as url, Load(url, ten(send=b"hello\n")) as load:
        report = load.wait()
    assert (report.requests, report.failed) == (10, 0)
    assert dict(report.labels) == {"you said hello": 10}


@pytest.mark.parametrize("said", [None, b"half a line"])
def test_a_connection_that_ends_before_the_end_of_a_line_is_lost(said):
    with lines(lambda _: said) as url, Load(url, ten(send=b"hello\n")) as load:
        assert dict(load.wait().failures) == {"connection lost": 10}


def test_a_line_has_an_end():
    with lines(lambda _: b"x" * 200_000) as url, Load(url, ten(send=b"hello\n")) as load:
        assert dict(load.wait().failures) == {"no line": 10}


def test_the_message_of_an_answer():
    with greeter(lambda request: b"hello " + request) as url, Load(url, ten(send=b"mesh")) as load:
        report = load.wait()
    assert (report.requests, report.failed) == (10, 0)
    assert dict(report.labels) == {"hello mesh": 10}


def test_a_status_is_a_kind_of_failure():
    statuses = iter([grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND, *[b"ok"] * 8])
    with greeter(lambda _: next(statuses)) as url, Load(url, ten()) as load:
        report = load.wait()
    assert dict(report.failures) == {"UNAVAILABLE": 1, "NOT_FOUND": 1}
    assert report.first_failure.endswith("as told")


def test_a_call_without_an_answer_in_time():
    release = threading.Event()
    with greeter(lambda _: (release.wait(60), b"late")[1]) as url:
        with Load(url, Plan(rps=10, connections=1, seconds=0.1, timeout=0.2)) as load:
            report = load.wait()
        release.set()
    assert dict(report.failures) == {"DEADLINE_EXCEEDED": 1}


def test_nothing_else_is_a_load():
    with pytest.raises(ValueError, match="is no URL for this"):
        Load("ftp://127.0.0.1/")
