"""One message of xDS, decoded: as YAML by the names of its .proto file, and what in it is different from before.

The one rule: a secret is never shown: not the resource that is one, nor a key or a password in another.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tsunagu.cli.compare import normalize
from tsunagu.cli.output import as_yaml
from tsunagu.client.connection import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What stands for a body that cannot be shown.
_INSTEAD: Final = {
    "secret": "[secret]",
    "gone": "[its content is no longer kept]",
    "heartbeat": "[none: a heartbeat]",
    "large": "[too much for one answer]",
}
REQUESTS: Final = ("subscribe", "ack", "nack", "stale")


def document(shown: Any) -> dict[str, Any]:
    """The message of a MessageResponse as a JSON value; of an event that is no message, what is known of it."""
    event = shown.event
    if event.kind == "send":
        return _sotw_response(shown) if event.variant == "sotw" else _delta_response(shown)
    if event.kind in REQUESTS:
        return _without_nothing(_sotw_request(shown) if event.variant == "sotw" else _delta_request(shown))
    if event.kind == "publish":
        resources = [_named(shown.type_url, part) for part in shown.parts]
        return _without_nothing({"type_url": shown.type_url, "resources": resources, "removed": list(event.removed)})
    return _without_nothing({"type_url": shown.type_url, "names": list(event.names), "detail": event.detail})


def _sotw_response(shown: Any) -> dict[str, Any]:
    event = shown.event
    return _without_nothing({
        "version_info": event.version,
        "resources": [_packed(shown.type_url, part.now) for part in shown.parts],
        "type_url": shown.type_url,
        "nonce": event.nonce,
        "control_plane": {"identifier": shown.identifier},
    })  # fmt: skip


def _delta_response(shown: Any) -> dict[str, Any]:
    event = shown.event
    return _without_nothing({
        "system_version_info": event.version,
        "resources": [_named(shown.type_url, part) for part in shown.parts],
        "type_url": shown.type_url,
        "nonce": event.nonce,
        "removed_resources": list(event.removed),
        "control_plane": {"identifier": shown.identifier},
    })  # fmt: skip


def _sotw_request(shown: Any) -> dict[str, Any]:
    event = shown.event
    return {
        "version_info": event.version,
        "resource_names": [] if list(shown.asked) == ["*"] else list(shown.asked),
        "type_url": shown.type_url,
        "response_nonce": event.nonce,
        "error_detail": {"message": event.detail} if event.kind == "nack" else {},
    }


def _delta_request(shown: Any) -> dict[str, Any]:
    event = shown.event
    subscribes = event.kind == "subscribe"
    return {
        "type_url": shown.type_url,
        "resource_names_subscribe": [] if not subscribes or list(event.names) == ["*"] else list(event.names),
        "resource_names_unsubscribe": list(event.removed) if subscribes else [],
        "response_nonce": event.nonce,
        "error_detail": {"message": event.detail} if event.kind == "nack" else {},
    }


def _without_nothing(value: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if one not in ("", [], {})}


def _named(type_url: str, part: Any) -> dict[str, Any]:
    return {"name": part.name, "version": part.now.version, "resource": _packed(type_url, part.now)}


def _packed(type_url: str, body: Any) -> Any:
    tree = _tree(type_url, body)
    return {"@type": type_url, **tree} if isinstance(tree, dict) else tree


def _tree(type_url: str, body: Any) -> Any:
    """The content of a body; a text that stands for it where there is none."""
    if body.state in _INSTEAD:
        return _INSTEAD[body.state]
    try:
        return normalize.as_sent(type_url, body.content)
    except normalize.Unreadable as error:
        return f"[{error}]"


# What is said of a message, a line each.


def heading(shown: Any) -> Iterator[str]:
    """What a message is, why it was sent, and how it was answered."""
    event = shown.event
    when = datetime.fromtimestamp(event.time.seconds + event.time.nanos / 1e9, UTC).astimezone()
    yield f"event {event.sequence}, {when:%H:%M:%S.%f}"[:-3] + f": {_what(event)}"
    why = [f"because of: {event.cause}" if event.cause else "", f"r{event.revision}" if event.revision else ""]
    if any(why):
        yield " ".join(filter(None, why))
    if event.kind in REQUESTS and event.kind != "nack" and event.detail:
        yield f"the client {event.detail}"
    if event.kind == "send":
        yield _answer(shown)
    if event.more:
        yield f"{event.more} more names are not kept"


def _what(event: Any) -> str:
    stream = f"{short(event.proxy)}, stream {event.stream}"
    delta = "Delta" if event.variant == "delta" else ""
    if event.kind == "send":
        return f"a {delta}DiscoveryResponse of {event.bytes} B to {stream}"
    if event.kind in REQUESTS:
        return f"{_PARTS[event.kind]} a {delta}DiscoveryRequest of {stream}"
    return {
        "publish": f"a change of what is served, {event.type}; no message",
        "connect": f"{stream} connects; no message",
        "close": f"{stream} ends; no message",
        "defer": f"something waits to be sent to {stream}; no message",
        "hold": f"an operator keeps {event.type} for {stream} back; no message",
    }.get(event.kind, f"{event.kind}; no message")


_PARTS: Final = {
    "subscribe": "what is asked for in",
    "ack": "the ACK in",
    "nack": "the NACK in",
    "stale": "the nonce, which is not one that is waited for, in",
}


def _answer(shown: Any) -> str:
    if not shown.HasField("answer"):
        return "not answered, as far as is known"
    answer = shown.answer
    return f"answered by event {answer.sequence}: {answer.kind.upper()} after {answer.latency_seconds * 1000:.1f} ms"


def differences(shown: Any) -> Iterator[str]:
    """What is different from what the client had before, resource by resource: lines that begin with #, and unified diffs."""
    if shown.event.kind not in ("send", "publish"):
        return
    for part in shown.parts:
        yield from _difference(shown.type_url, part)
    for name in shown.event.removed:
        yield f"# {name}: removed"
    for name in shown.dropped:
        yield f"# {name}: no longer in it, and so deleted"


def _difference(type_url: str, part: Any) -> Iterator[str]:
    if part.now.state == "heartbeat":
        yield f"# {part.name}: a heartbeat, no news"
    elif not part.HasField("before"):
        yield f"# {part.name}: new, as far as is known"
    elif part.before.version == part.now.version:
        yield f"# {part.name}: the same as in event {part.since}"
    elif part.now.state != "kept" or part.before.state != "kept":
        lacks = part.before if part.before.state != "kept" else part.now
        yield f"# {part.name}: another version than in event {part.since} {_INSTEAD[lacks.state]}"
    else:
        yield f"# {part.name}: different from event {part.since}"
        yield from _diff(*(as_yaml(_tree(type_url, body)).splitlines() for body in (part.before, part.now)))


def _diff(before: list[str], now: list[str]) -> Iterator[str]:
    """Without the two lines of file names."""
    lines = difflib.unified_diff(before, now, lineterm="", n=3)
    yield from list(lines)[2:] or ["(a secret in it)"]


def as_value(shown: Any, event: Mapping[str, Any]) -> dict[str, Any]:
    """All of it for programs; `event` as `xds log -o json` prints it."""
    return {"event": event, "message": document(shown), "differences": list(differences(shown))}
