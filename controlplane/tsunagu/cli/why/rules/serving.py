"""What is wrong at the other side: its Envoy, or the app, which was asked directly beside the mesh.

A fault of every endpoint ends each call; of some, the share of calls that they get, less those that a retry saves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.facts import short_time
from tsunagu.cli.why.rules.listening import elsewhere, reaches
from tsunagu.cli.why.verdict import Sure, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.why.facts import Answer, Facts, Server

_SERVER_ERROR: Final = 500
_HTTP2: Final = frozenset({"http2", "grpc"})
#: What Envoy takes of a response's head (HttpProtocolOptions.max_headers_count, max_response_headers_kb): lines, KiB.
_MOST_LINES, _MOST_KIB = 100, 60
_BAD_REQUEST: Final = 400


def envoy_dead(facts: Facts) -> Verdict | None:
    return _where(
        facts,
        lambda one: no_answer(one.task, one.envoy) if one.envoy else "",
        ("server-envoy-down", "it hangs or has just died; kill it, and it is started again", "ingress"),
    )


def no_ingress(facts: Facts) -> Verdict | None:
    return _where(
        facts,
        lambda one: f"the Envoy of {one.task} has no ingress listener for it" if one.ingress is False else "",
        ("no-ingress", "tsunagu proxies TASK --diff shows what it refused", "ingress"),
    )


def other_address(facts: Facts) -> Verdict | None:
    return _where(
        facts,
        lambda one: f"the app of {one.task} {elsewhere(one)}" if elsewhere(one) and not _accepts(one) else "",
        ("app-listens-elsewhere", "make it listen at 0.0.0.0 and its containerPort", "app"),
    )


def silent_port(facts: Facts) -> Verdict | None:
    def words(one: Server) -> str:
        if reaches(one) is False or (one.app is not None and one.app.refused and not one.app.timed_out):
            return f"nothing in {one.task} listens at port {one.container_port} (any more)"
        return ""

    return _where(facts, words, ("app-silent", "its process runs, so look at its log: tsunagu logs TASK", "app"))


def accepts_nothing(facts: Facts) -> Verdict | None:
    """It listens, and the kernel's queue of connections that it has not accepted is full."""

    def words(one: Server) -> str:
        app = _app(facts, one)
        if app is None or not (app.refused and app.timed_out):
            return ""
        return (
            f"the app of {one.task} listens at port {one.container_port} and accepts no connection (its queue is full)"
        )

    remedy = "it hangs, or is busy with the connections that it has: tsunagu logs TASK"
    return _where(facts, words, ("app-accepts-nothing", remedy, "app"))


def wants_tls(facts: Facts) -> Verdict | None:
    if facts.alias is None or not facts.alias.is_http:
        return None
    found = _where(
        facts,
        lambda one: (
            f"the app of {one.task} expects TLS, and its proxy speaks plaintext with it" if _expects_tls(one) else ""
        ),
        ("app-tls", "let it serve plaintext at 127.0.0.1, inside of its own task", "app"),
    )
    # A call that comes through with such words does not contradict it.
    told = facts.answer is not None and facts.answer.status == _BAD_REQUEST and _says_tls(facts.answer.body)
    return replace(found, tried=not told) if found else None


def wants_http2(facts: Facts) -> Verdict | None:
    """The port is declared as http, and the app understands HTTP/2 alone."""
    alias = facts.alias
    if alias is None or alias.protocol != "http":
        return None
    return _where(
        facts,
        lambda one: (
            f"the app of {one.task} speaks HTTP/2 alone, and the port mapping says appProtocol http"
            if one.http2 and one.http2.spoke == "http2" and not (one.app and one.app.status)
            else ""
        ),
        (
            "app-http2",
            "declare it as http2 or grpc (a live service keeps its appProtocol: delete and recreate it)",
            "app",
        ),
    )


def wants_http1(facts: Facts) -> Verdict | None:
    alias = facts.alias
    if alias is None or alias.protocol not in _HTTP2:
        return None
    return _where(
        facts,
        lambda one: (
            f"the app of {one.task} does not speak HTTP/2, and the port mapping says appProtocol {alias.protocol}"
            if one.http2 and not one.http2.refused and not one.http2.timed_out and one.http2.spoke != "http2"
            else ""
        ),
        ("app-http1", "let it speak HTTP/2 without TLS (h2c), or declare it as http", "app"),
    )


def no_http(facts: Facts) -> Verdict | None:
    alias = facts.alias
    if alias is None or alias.protocol != "http":
        return None
    return _where(
        facts,
        lambda one: (
            f"the app of {one.task} answers a request with what is no HTTP"
            if one.app and one.app.spoke == "other"
            else ""
        ),
        ("app-no-http", "take appProtocol out of its port mapping, which makes it tcp", "app"),
    )


def closes(facts: Facts) -> Verdict | None:
    def words(one: Server) -> str:
        app = _app(facts, one)
        if app is None or not app.ended or app.refused:
            return ""
        how = "resets" if app.ended == "reset" else "closes"
        if app.status:
            return f"the app of {one.task} answers {app.status}, and {how} the connection in the middle of the body"
        if app.spoke == "http1":
            return f"the app of {one.task} {how} the connection in the middle of its answer's head"
        return "" if app.spoke else f"the app of {one.task} accepts a connection and {how} it without an answer"

    return _where(facts, words, ("app-closes", "its log says why: tsunagu logs TASK", "app"))


def broken_http(facts: Facts) -> Verdict | None:
    return _where(
        facts,
        lambda one: (
            f"the app of {one.task} answers with HTTP that cannot be read ({one.app.broken})"
            if one.app and one.app.broken and one.app.spoke == "http1"
            else ""
        ),
        ("app-bad-http", "mend what it sends: tsunagu logs TASK", "app"),
    )


def head_too_large(facts: Facts) -> Verdict | None:
    def words(one: Server) -> str:
        app = one.app
        if app is None or (app.lines <= _MOST_LINES and app.size <= _MOST_KIB * 1024):
            return ""
        has = f"{app.lines} headers" if app.lines > _MOST_LINES else f"headers of {app.size // 1024} KiB"
        return f"the app of {one.task} answers with {has}, and a proxy takes {_MOST_LINES} of {_MOST_KIB} KiB together"

    return _where(facts, words, ("app-head", "let it send fewer or shorter ones", "app"))


def hangs(facts: Facts) -> Verdict | None:
    alias = facts.alias
    if alias is None or not alias.is_http:
        return None
    cut = (
        f"a call is cut after {facts.request_timeout:g} s with 504"
        if facts.request_timeout
        else "no timeout cuts a call"
    )

    def words(one: Server) -> str:
        app = _app(facts, one)
        if app is None or not app.timed_out or app.status or app.refused:
            return ""
        return f"the app of {one.task} accepts connections, and has not answered for {short_time(app.seconds)}; {cut}"

    remedy = "look at what it waits for: tsunagu logs TASK"
    limit, found = facts.request_timeout, _where(facts, words, ("app-hangs", remedy, "app"))
    waited = max((answer.seconds for one in facts.servers if (answer := _app(facts, one))), default=0)
    if found is None or (limit and waited >= limit):
        return found
    doubt = (
        f"a call may take {limit:g} s, and --timeout {limit + 1:g} would wait as long"
        if limit
        else "a call may take any time"
    )
    return replace(found, sure=Sure.LIKELY, doubts=(doubt,))


def slower_than_timeout(facts: Facts) -> Verdict | None:
    alias, answer = facts.alias, facts.answer
    if alias is None or answer is None or answer.status != 504 or not facts.request_timeout:
        return None
    return _where(
        facts,
        lambda one: (
            f"the app of {one.task} needs {short_time(one.app.seconds)} to answer, and a call may take"
            f" {facts.request_timeout:g} s"
            if one.app and one.app.status and one.app.seconds > 0.9 * facts.request_timeout
            else ""
        ),
        ("request-timeout", f"{raise_timeout(facts)}, or make it faster", "app"),
    )


def answers_5xx(facts: Facts) -> Verdict | None:
    def words(one: Server) -> str:
        app = one.app
        if app is None or app.status < _SERVER_ERROR:
            return ""
        said = f" ({app.body.splitlines()[0][:80]!r})" if app.body.strip() else ""
        return f"the app of {one.task} itself answers {app.status}{said}"

    return _where(facts, words, ("app-5xx", "the mesh carries the call; its log says why: tsunagu logs TASK", "app"))


def no_answer(task: str, error: str) -> str:
    """That an Envoy does not answer, with the reason, which the error says after the same words."""
    words = f"the Envoy of {task} does not answer"
    return f"{words} ({error.removeprefix(f'{words}: ')})"


def raise_timeout(facts: Facts) -> str:
    """What to change for a longer request timeout."""
    alias = facts.alias
    own = alias is not None and facts.request_timeout == alias.request_timeout
    return (
        f"raise perRequestTimeoutSeconds of {alias.service}"
        if alias and own
        else "raise the timeout of its Route or TrafficPolicy"
    )


def _where(facts: Facts, words: Callable[[Server], str], what: tuple[str, str, str]) -> Verdict | None:
    """A verdict for the servers of which `words` says something. `what`: kind, remedy with TASK in it, step."""
    served = [one for one in facts.servers if _called(facts, one)]
    found = [(one, said) for one in served if (said := words(one))]
    if not found:
        return None
    kind, remedy, step = what
    first, said = found[0]
    every = len(found) == len(facts.serving or served)
    share = "" if every and len(found) == 1 else f" ({_share(len(found), len(facts.servers), len(facts.serving))})"
    text = said + share + _ejected(facts)
    return Verdict(kind, text, remedy.replace("TASK", first.task), step, blocks=every)


def _share(found: int, seen: int, serving: int) -> str:
    """Of how many tasks it was found. A few at most are looked at."""
    return (
        f"{found} of {serving} tasks"
        if seen >= serving
        else f"{found} of {seen} tasks that were looked at, of {serving}"
    )


def _called(facts: Facts, one: Server) -> bool:
    """Whether callers are given this task."""
    return any(task.task == one.task for task in facts.serving)


def _ejected(facts: Facts) -> str:
    out = [host for host in facts.held.hosts if host.ejected] if facts.held else []
    return f"; {len(out)} of {len(facts.held.hosts)} endpoints ejected" if out and facts.held else ""


def _app(facts: Facts, one: Server) -> Answer | None:
    """What the app answered in the protocol that its port is declared with."""
    return one.http2 if facts.alias and facts.alias.protocol in _HTTP2 else one.app


def _accepts(one: Server) -> bool:
    return any(answer is not None and not answer.refused for answer in (one.app, one.http2))


def _expects_tls(one: Server) -> bool:
    """By what it says to plaintext, or, where it says nothing, to the beginning of TLS."""
    told = one.app is not None and one.app.status == _BAD_REQUEST and _says_tls(one.app.body)
    return told or any(answer is not None and answer.spoke == "tls" for answer in (one.app, one.http2, one.tls))


def _says_tls(body: str) -> bool:
    """The words of Go's net/http, nginx and Apache's httpd."""
    return any(words in body for words in ("to an HTTPS server", "sent to HTTPS port", "plain HTTP to an SSL-enabled"))


RULES: Final = (
    envoy_dead,
    no_ingress,
    other_address,
    silent_port,
    accepts_nothing,
    wants_tls,
    wants_http2,
    wants_http1,
    no_http,
    closes,
    broken_http,
    head_too_large,
    hangs,
    slower_than_timeout,
    answers_5xx,
)
