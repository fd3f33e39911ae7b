"""Calls of real commands and of a real server: what each way to go wrong is told as, and that nothing outlives a call."""

import asyncio
import json
import os
import sys

import pytest

from tsunagu.serve.hooks.call import Caller, CallLimits
from tsunagu.serve.hooks.hook_map import Command, Url

EVENT = json.dumps({"lifecycleStage": "POST_SCALE_UP"}).encode()
LIMITS = CallLimits(seconds=20, reply_bytes=1000, error_bytes=500)


def python(code, folder):
    return Command((sys.executable, "-I", "-S", "-c", code), str(folder))


async def called(target, limits=LIMITS):
    return await Caller({"PATH": os.environ["PATH"], "TSUNAGU_HOME": "/home/of/it"}, limits).call(target, EVENT)


async def test_a_command_gets_the_event_and_its_environment_and_its_reply_counts(tmp_path):
    code = """
import json, os, sys
given = json.load(sys.stdin)
assert os.environ["TSUNAGU_HOME"] == "/home/of/it", os.environ
assert os.getcwd() == sys.argv[1]
print(json.dumps({"hookStatus": "IN_PROGRESS", "hookDetails": given}))
"""
    command = python(code, tmp_path)
    said = await called(Command((*command.command, str(tmp_path)), str(tmp_path)))
    assert (said.status, said.reason) == ("IN_PROGRESS", "")
    assert said.hook_details.struct_value["lifecycleStage"] == "POST_SCALE_UP"


async def test_a_command_need_not_read_the_event(tmp_path):
    said = await called(Command(("sh", "-c", """exec <&-; echo '{"hookStatus": "SUCCEEDED"}'"""), str(tmp_path)))
    assert said.status == "SUCCEEDED"


async def test_a_relative_program_is_one_of_its_directory(tmp_path):
    script = tmp_path / "check.sh"
    script.write_text("""#!/bin/sh\necho '{"hookStatus": "SUCCEEDED"}'\n""")
    script.chmod(0o755)
    assert (await called(Command(("./check.sh",), str(tmp_path)))).status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('x', end='')", "its reply is no JSON: x"),
        ("import sys; sys.exit('first\\nno orders table')", "ended with exit code 1: no orders table"),
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended with exit code 137"),
        ("print('x' * 1001)", "replied more than 1000 bytes"),
        ("while True: print('x' * 1000)", "replied more than 1000 bytes"),
        ("import sys; sys.stderr.write('y' * 10**6); sys.exit(2)", f"ended with exit code 2: {'y' * 200}..."),
    ],
    ids=["no JSON", "stderr", "code", "killed", "too long", "without end", "much on stderr"],
)
async def test_a_command_that_fails_says_how(tmp_path, code, reason):
    said = await called(python(code, tmp_path))
    assert said.status == "FAILED"
    assert said.reason.endswith(reason)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Command(("no-such-program",), "/"), "no-such-program cannot run: there is no program no-such-program"),
        (Command(("./none.sh", "-v"), "/"), "./none.sh -v cannot run: there is no program /./none.sh"),
        (Command(("sh",), "/no/such/folder"), "sh cannot run: there is no directory /no/such/folder"),
    ],
)
async def test_a_command_that_is_not_there_says_so(command, reason):
    said = await called(command)
    assert (said.status, said.reason) == ("FAILED", reason)


async def gone(pid):
    async with asyncio.timeout(10):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, PTH110 - another process ends
            await asyncio.sleep(0.01)


LASTING = "trap '' TERM; sleep 60 & echo $! > pid; wait"


async def pid_in(folder):
    async with asyncio.timeout(10):
        while not (text := (folder / "pid").read_text() if (folder / "pid").exists() else "").strip():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return int(text)


async def test_a_command_that_does_not_end_in_time_is_ended_with_all_that_it_has_started(tmp_path):
    said = await called(Command(("sh", "-c", LASTING), str(tmp_path)), CallLimits(seconds=0.5))
    assert said.status == "FAILED"
    assert said.reason.endswith("did not end within 0.5 s")
    await gone(await pid_in(tmp_path))


async def test_a_call_that_is_cancelled_ends_its_command(tmp_path):
    calling = asyncio.ensure_future(called(Command(("sh", "-c", LASTING), str(tmp_path))))
    pid = await pid_in(tmp_path)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await gone(pid)


async def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path):
    code = """sleep 60 & echo $! > pid; echo '{"hookStatus": "SUCCEEDED"}'"""
    said = await called(Command(("sh", "-c", code), str(tmp_path)))
    assert said.status == "SUCCEEDED"
    await gone(await pid_in(tmp_path))


# -- URLs -------------------------------------------------------------------------------------------------------------


async def answered(*, status="200 OK", body=b'{"hookStatus": "SUCCEEDED"}', raw=None, limits=LIMITS):
    """What a server got, and what the call made of its answer; `raw`: all that it sends, None: a response."""
    got, done = [], asyncio.Event()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        got.append(head + await reader.readexactly(len(EVENT)))
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body if raw is None else raw
        )
        try:
            await writer.drain()
            if raw == b"":
                await reader.read()  # silent until the caller gives up
        finally:
            writer.close()
            done.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await called(Url(f"http://127.0.0.1:{port}/check?a=b"), limits)
        await done.wait()
        return got[0].decode(), said, port


async def test_a_url_is_posted_the_event():
    got, said, port = await answered()
    head, _, body = got.partition("\r\n\r\n")
    assert head.startswith("POST /check?a=b HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{port}" in head.lower()
    assert "content-type: application/json" in head.lower()
    assert body.encode() == EVENT
    assert said.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"status": "500 Internal Server Error", "body": b"no table"}, "answered 500: no table"),
        ({"status": "302 Found", "body": b""}, "answered 302: "),
        ({"body": b"ok"}, "its reply is no JSON: ok"),
        ({"body": b"x" * 1001}, "the body of the response has 1001 bytes; 1000 are allowed"),
        ({"raw": b"nonsense\r\n\r\n"}, "cannot be called: no HTTP/1.1 response"),
        ({"raw": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"}, "the connection ended before"),
        ({"raw": b"", "limits": CallLimits(seconds=0.3)}, "did not end within 0.3 s"),
    ],
)
async def test_a_url_that_fails_says_how(answers, reason):
    _, said, _ = await answered(**answers)
    assert said.status == "FAILED"
    assert reason in said.reason


async def test_a_url_at_which_nobody_listens_cannot_be_called():
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    said = await called(Url(f"http://127.0.0.1:{port}/"))
    assert said.status == "FAILED"
    assert f"http://127.0.0.1:{port}/ cannot be called" in said.reason
