"""What the bytes that come back on a connection are taken for: whole answers, parts of answers, and other protocols."""

import pytest

from tsunagu.cli.why.gather.probe import Conversation
from tsunagu.cli.why.target import parse

HEAD = b"HTTP/1.1 200 OK\r\nx-envoy-upstream-service-time: 2\r\n"


def asked():
    return Conversation.http(parse("http://api/"), "http", 5.0)


def test_a_body_that_is_larger_than_is_kept_is_an_answer():
    talk = asked()
    talk.receive(HEAD + b"content-length: 1048576\r\n\r\n" + bytes(60_000))
    assert talk.answer is not None
    assert (talk.answer.status, talk.answer.broken, talk.answer.ended) == (200, "", "")
    assert talk.answer.headers["x-envoy-upstream-service-time"] == "2"


def test_a_chunked_body_that_grows_too_large_is_an_answer():
    talk = asked()
    talk.receive(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(9):
        talk.receive(b"2710\r\n" + bytes(10_000) + b"\r\n")
        if talk.answer:
            break
    assert talk.answer
    assert (talk.answer.status, talk.answer.timed_out) == (200, False)


def test_a_body_that_does_not_end_has_a_status_and_says_so():
    talk = asked()
    talk.receive(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\ntick\n\r\n")
    answer = talk.give_up()
    assert (answer.status, answer.timed_out) == (200, True)
    assert answer.words.startswith("200 at once, and its body had not ended after")


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (HEAD + b"content-length: 100\r\n\r\nten bytes\n", 200, "200 and was {how} within its body"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", 0, "HTTP that cannot be read"),
        (b"", 0, "{how} without an answer"),
    ],
)
def test_a_connection_that_ends_too_early(how, sent, status, words):
    talk = asked()
    if sent:
        talk.receive(sent)
    answer = talk.end(how)
    assert (answer.status, answer.ended) == (status, how)
    assert answer.words == words.format(how=how)


def test_a_body_may_end_with_its_connection():
    talk = asked()
    talk.receive(b"HTTP/1.0 200 OK\r\n\r\nhello")
    answer = talk.end("closed")
    assert (answer.status, answer.body, answer.ended) == (200, "hello", "")


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b": nameless\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nok\n",
    ],
)
def test_http_that_is_wrong_is_no_other_protocol(sent):
    talk = asked()
    talk.receive(sent)
    assert talk.answer
    assert (talk.answer.spoke, talk.answer.status) == ("http1", 0)
    assert talk.answer.broken


def test_the_head_is_measured():
    talk = asked()
    talk.receive(HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(200)) + b"content-length: 0\r\n\r\n")
    assert talk.answer
    assert talk.answer.lines == 202
    talk = asked()
    talk.receive(HEAD + b"x-huge: " + b"y" * 102_400 + b"\r\ncontent-length: 0\r\n\r\n")
    assert talk.answer
    assert talk.answer.size > 60 * 1024


def test_a_connection_that_is_not_made_in_time():
    answer = asked().unconnected()
    assert (answer.refused, answer.timed_out) == ("no connection for 5.0 s", True)


def test_tls_begins_with_a_client_hello():
    sent = Conversation.tls(1.0).sends
    assert sent[:2] == b"\x16\x03"
    assert sent[5] == 1, "handshake type client_hello"
