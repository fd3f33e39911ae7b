import json
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tsunagu.testing import Load, Plan
from tsunagu.testing.load import NOT_SENT


@contextmanager
def server(answer):
    """Serves `answer(path)` -> (status, body); None hangs up. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 8192

        def do_GET(self):
            response = answer(self.path)
            if response is None:
                self.close_connection = True
                return
            self.send_response(response[0])
            self.send_header("content-length", str(len(response[1])))
            self.end_headers()
            self.wfile.write(response[1])

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def test_load_is_counted_and_labelled():
    tasks = iter("ab" * 1000)
    plan = Plan(rps=200, connections=2, seconds=0.25, label=lambda answer: json.loads(answer.body)["task"])
    with server(lambda _: (200, json.dumps({"task": next(tasks)}).encode())) as url, Load(url, plan) as load:
        report = load.wait()
    assert (report.requests, report.succeeded, report.failed) == (50, 50, 0)
    assert dict(report.labels) == {"a": 25, "b": 25}
    assert 0 < report.latency(50) <= report.latency(100)
    assert 0 < report.longest_gap <= report.seconds
    assert str(report).startswith("50 requests in ")


def test_failures_are_counted_by_kind():
    answers = iter([(503, b"no healthy upstream"), None, (404, b""), *[(200, b"ok")] * 7])
    with server(lambda _: next(answers)) as url, Load(url, Plan(rps=100, connections=1, seconds=0.1)) as load:
        report = load.wait()
    assert dict(report.failures) == {"503": 1, "404": 1, "connection lost": 1}
    assert (report.requests, report.succeeded, report.failed) == (10, 7, 3)
    assert report.first_failure == "503: no healthy upstream"


def test_nobody_there():
    with server(lambda _: None) as url:
        pass
    with Load(url, Plan(rps=100, connections=1, seconds=0.05)) as load:
        report = load.wait()
    assert dict(report.failures) == {"connection refused": 5}
    assert math.isnan(report.latency(50))


def test_a_stall_is_seen_though_nothing_was_sent_meanwhile():
    stalled = threading.Event()

    def answer(_):
        if not stalled.is_set():
            stalled.set()
            threading.Event().wait(1.3)
        return 200, b"ok"

    with server(answer) as url, Load(url, Plan(rps=20, connections=1, seconds=1.5)) as load:
        report = load.wait()
    assert report.requests == 30
    assert report.latency(100) >= 1.3
    assert report.failures[NOT_SENT] >= 1
    assert report.longest_gap >= 1.3


def test_no_answer_in_time_is_a_failure():
    release = threading.Event()
    with server(lambda _: (release.wait(60), (200, b""))[1]) as url:
        with Load(url, Plan(rps=10, connections=1, seconds=0.1, timeout=0.1)) as load:
            report = load.wait()
        release.set()
    assert dict(report.failures) == {"timed out": 1}


@pytest.mark.parametrize(("late", "failures"), [(0.01, {"not sent in time"}), (60, set())])
def test_what_no_connection_was_free_for_is_sent_late_or_not_at_all(late, failures):
    def slow(_):
        threading.Event().wait(0.1)
        return 200, b""

    with server(slow) as url, Load(url, Plan(rps=100, connections=1, seconds=0.1, late=late)) as load:
        report = load.wait()
    assert set(report.failures) == failures
    assert report.requests == 10


def test_it_can_be_stopped_and_looked_at_meanwhile():
    with server(lambda _: (200, b"")) as url, Load(url, Plan(rps=500)) as load:
        seen = load.wait_requests(20)
        final = load.stop()
    assert 20 <= seen.requests <= final.requests < 5000
    assert load.report().requests == final.requests


def test_a_label_that_does_not_fit_is_a_question_mark():
    plan = Plan(rps=100, seconds=0.02, connections=1, label=lambda answer: json.loads(answer.body)["task"])
    with server(lambda _: (200, b"no json")) as url, Load(url, plan) as load:
        assert dict(load.wait().labels) == {"?": 2}


def test_an_error_of_the_load_itself_is_raised():
    plan = Plan(rps=100, seconds=0.1, connections=2, label=lambda _: str(1 / 0))
    with server(lambda _: (200, b"")) as url:
        load = Load(url, plan).__enter__()
        for method in (load.wait, load.stop, load.report, lambda: load.wait_requests(1)):
            with pytest.raises(ZeroDivisionError):
                method()


def test_an_error_of_the_load_does_not_hide_the_tests_own():
    plan = Plan(rps=100, seconds=0.1, connections=1, label=lambda _: str(1 / 0))
    with server(lambda _: (200, b"")) as url:
        with pytest.raises(ZeroDivisionError), Load(url, plan) as load:
            load._thread.join(60)
        with pytest.raises(KeyError, match="own"), Load(url, plan):
            raise KeyError("own")


@pytest.mark.parametrize("bad", [{"rps": 0}, {"rps": 1e9}, {"connections": 0}, {"seconds": 1e9}])
def test_load_is_bounded(bad):
    with pytest.raises(ValueError, match="load is bounded"):
        Plan(**bad)
