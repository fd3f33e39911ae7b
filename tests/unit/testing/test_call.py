import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tsunagu.testing import CallFailed, Executed
from tsunagu.testing.call import Call, answered, command, direct


@pytest.fixture
def server():
    """Answers with the request that it got; /fail answers 503."""

    class Handler(BaseHTTPRequestHandler):
        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("latin-1")
            request = json.dumps([self.command, self.path, body, self.headers.get("X-Test"), self.headers["Host"]])
            self.send_response(503 if self.path == "/fail" else 200)
            self.send_header("X-Answer", "yes")
            self.end_headers()
            self.wfile.write(request.encode())

        do_GET = do_POST = do

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def inside(call):
    """As in a task: the command is run as a process of its own."""
    argv = command(call)
    done = subprocess.run([sys.executable, *argv[1:]], capture_output=True, check=False)
    return answered(Executed(done.returncode, done.stdout, done.stderr), call)


def outside(call):
    host, _, port = call.url.removeprefix("http://").partition("/")[0].partition(":")
    return direct(call, (host, int(port)))


@pytest.mark.parametrize("make", [inside, outside])
def test_a_request_arrives_as_it_was_meant(server, make):
    call = Call(f"http://{server}/a?b=c", "POST", b"\x00\xff", {"X-Test": "t"})
    answer = make(call)
    assert (answer.status, answer.headers["x-answer"]) == (200, "yes")
    assert answer.json() == ["POST", "/a?b=c", "\x00\xff", "t", server]


@pytest.mark.parametrize("make", [inside, outside])
def test_an_error_of_http_is_an_answer(server, make):
    answer = make(Call(f"http://{server}/fail"))
    assert answer.status == 503
    assert answer.text.startswith('["GET", "/fail"')


@pytest.mark.parametrize("make", [inside, outside])
def test_no_answer_is_a_failed_call(make):
    with pytest.raises(CallFailed, match="refused"):
        make(Call("http://127.0.0.1:1/", timeout=1))


def test_a_name_that_nobody_knows():
    with pytest.raises(CallFailed, match=r"GET http://nowhere\.invalid/"):
        inside(Call("http://nowhere.invalid/", timeout=1))


def test_a_caller_that_could_not_run():
    with pytest.raises(CallFailed, match="ended with 127: python3: not found"):
        answered(Executed(127, b"", b"python3: not found\n"), Call("http://web/"))


def test_the_output_of_a_command_as_text():
    assert Executed(0, b"a\nb\n", b"").text == "a\nb"
