"""Dialogues with a session, as text: what comes in above `----`, what the session does below it.

TSUNAGU_REWRITE=1 writes down what happens; review the difference. A section starts at `# case:` with the numbers of
docs/conformance.md, the variant, and a title. Words of a dialogue:

    publish 2 +CDS:a@1 -EDS:b     revision 2: content 1 of cluster a, no endpoints b; then all sessions are flushed;
                                  +CDS:a@1~3 lapses after 3 s, and a@~ in a response is its heartbeat;
                                  +VHDS:v@1&a,b has aliases, and ?c in a response is an alias that nobody has
    synced                        what was published is all there is (`unsynced` at the top of a section withholds it)
    session q delta KEY=VALUE     another stream: service=EDS, legacy=no, bundles=b,c, hide=CDS:a, stream=9, lookup=5
    > CDS                         the client p asks (q> is another); names=a,b (SotW) +a,b -c have=a@1 (delta)
    > CDS ack                     ... answers the oldest response; nack "words"; nonce=, version=, node= say otherwise
    tick 1.5                      time goes on
    hold EDS 5                    an operator keeps back what p is to be sent of a type; 0: no longer
    rescope p b,c                 p sees other bundles
    state, converged 3, close p   what an operator and the barrier see; the end of a stream
    looked VHDS a,b q             names that q asked for, and nobody had, were looked for
    raw 0aff                      bytes that nobody should send
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Acked, Close, Deferred, Hello, Nacked, Send, Sought, Stale, Subscribed
from tsunagu.xds.bundle import BundleUpdate, Mask, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import type_states, unconverged
from tsunagu.xds.resources import EDS, SHORT, WRAPPER, Resource, empty_endpoints, type_of
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

VARIANTS = {"delta": DELTA, "sotw": SOTW}
REWRITE = bool(os.environ.get("TSUNAGU_REWRITE"))
FILES = sorted(Path(__file__).parent.glob("*.txt"))
HEAD = re.compile(r"^# case: (?P<cases>[\w, ]+?) (?P<variant>sotw|delta): (?P<title>.+)$", re.MULTILINE)


def resource(kind: str, name: str, content: str) -> Resource:
    """Content says "static" for a cluster that has its endpoints in it, "empty" for an assignment without any; behind a
    `~` stands a time to live.
    """
    url = SHORT[kind]
    content, _, aliases = content.partition("&")
    content, _, ttl = content.partition("~")
    body = wire.text(1, name)
    if kind == "CDS" and content != "static":
        body += b"\x10\x03" + wire.delimited(3, wire.text(2, name))
    if kind == "EDS" and content == "empty":
        return empty_endpoints(name)
    return Resource.of(
        url, name, body + wire.text(99, content), ttl=float(ttl) if ttl else None, aliases=_list(aliases)
    )


@dataclass
class Talk:
    """What a client remembers of one type."""

    names: list[str] = field(default_factory=list)
    accepted: str = ""
    seen: tuple[str, str] = ("", "")  # nonce and version of the newest response
    unanswered: list[str] = field(default_factory=list)


@dataclass
class Client:
    session: Session
    scope: Scope
    talks: dict[str, Talk] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    spoke: bool = False

    @property
    def sotw(self) -> bool:
        return self.session.variant is SOTW


class Stage:
    """Plays a section."""

    def __init__(self, variant: str, service: str = "") -> None:
        self.catalog = Catalog()
        self.catalog.synced = True
        self.now = 0.0
        self.labels: dict[tuple[str, str, str], str] = {}
        self.versions: dict[str, str] = {}
        self.clients: dict[str, Client] = {}
        self.do_session("p", variant, *([f"service={service}"] if service else []))

    def play(self, command: str) -> str:
        self.out: list[str] = []
        for line in command.splitlines():
            verb, *words = shlex.split(line, comments=True) or ["#"]
            if verb.endswith(">"):
                self.say(verb[:-1] or "p", words)
            elif verb != "#":
                getattr(self, f"do_{verb}")(*words)
        return "\n".join(self.out) or "quiet"

    def do_unsynced(self) -> None:
        self.catalog.synced = False

    def do_synced(self) -> None:
        self.flush(self.catalog.mark_synced())

    def do_session(self, name: str, variant: str, *options: str) -> None:
        given = dict(option.split("=") for option in options)
        hidden = frozenset((SHORT[kind], of) for kind, of in _pairs(given.get("hide", "")))
        bundles = tuple(given.get("bundles", "b").split(","))
        mask = Mask(hidden) if hidden else Mask()
        lookup = float(given.get("lookup", "0"))
        scope = Scope(name, bundles, given.get("legacy") != "no", mask, lookup=lookup)
        number = given.get("stream", str(len(self.clients) + 1))
        url = SHORT.get(given.get("service", ""), "")
        self.clients[name] = Client(Session(self.catalog, VARIANTS[variant], url, number, "cp"), scope)

    def do_publish(self, revision: str, *changes: str) -> None:
        updates = []
        for change in changes:
            bundle, _, rest = change[1:].rpartition("/")
            kind, _, rest = rest.partition(":")
            name, _, content = rest.partition("@")
            if change[0] == "-":
                updates.append(BundleUpdate(bundle or "b", removals=((SHORT[kind], name),)))
            else:
                made = resource(kind, name, content)
                self.labels[made.type_url, name, made.version] = content
                updates.append(BundleUpdate(bundle or "b", (made,)))
        self.flush(self.catalog.publish(updates, int(revision), f"change {revision}"))

    def do_looked(self, kind: str, names: str, name: str) -> None:
        self.show(name, self.clients[name].session.looked_up(SHORT[kind], tuple(_list(names)), self.now))

    def do_rescope(self, name: str, bundles: str) -> None:
        client = self.clients[name]
        self.show(name, client.session.rescope(tuple(bundles.split(",")), Mask(), self.now))

    def do_tick(self, seconds: str) -> None:
        self.now += float(seconds)
        for name, client in self.clients.items():
            if client.session.deadline is not None and client.session.deadline <= self.now:
                self.show(name, client.session.tick(self.now))

    def do_hold(self, kind: str, seconds: str, name: str = "p") -> None:
        self.clients[name].session.holds.hold(SHORT[kind], float(seconds), self.now)
        self.show(name, self.clients[name].session.publish(self.now))

    def do_state(self, name: str = "p") -> None:
        for state in type_states(self.clients[name].session, self.now):
            words = f"{state.type} {state.state} {state.age:g} s, {state.resources} resources"
            words += f", held for {state.held:g} s" if state.held else ""
            self.out.append(words + (f", rejected {','.join(state.rejected)}: {state.error}" if state.error else ""))

    def do_converged(self, revision: str, name: str = "p") -> None:
        self.out.append(unconverged([self.clients[name].session], int(revision), self.now) or "converged")

    def do_deadline(self, name: str = "p") -> None:
        deadline = self.clients[name].session.deadline
        self.out.append("none" if deadline is None else f"in {deadline - self.now:g} s")

    def do_close(self, name: str) -> None:
        self.clients[name].session.close()

    def do_raw(self, data: str) -> None:
        self.show("p", self.clients["p"].session.receive(bytes.fromhex(data), self.now))

    def say(self, name: str, words: list[str]) -> None:
        client = self.clients[name]
        kind, *rest = words
        url = {**SHORT, "none": "", "custom": "type.googleapis.com/acme.Custom"}.get(kind, kind)
        talk = client.talks.setdefault(url or client.session.type_url, Talk())
        request = (self._sotw if client.sotw else self._delta)(url, talk, rest)
        node = next((word[5:] for word in rest if word.startswith("node=")), "p" if not client.spoke else "none")
        if node != "none":
            request.node.id = node
        client.spoke = True
        self.show(name, client.session.receive(request.SerializeToString(), self.now))

    def _sotw(self, url: str, talk: Talk, words: list[str]) -> discovery_pb2.DiscoveryRequest:
        given = _options(words)
        if "names" in given:
            talk.names = _list(given["names"])
        if "nack" not in words and talk.seen[1]:
            talk.accepted = talk.seen[1]
        version = {label: of for of, label in self.versions.items()}.get(given.get("version", ""))
        request = discovery_pb2.DiscoveryRequest(
            type_url=url,
            version_info=version or given.get("version", talk.accepted),
            resource_names=talk.names,
            response_nonce=given.get("nonce", talk.seen[0]),
        )
        _nack(request, words)
        return request

    def _delta(self, url: str, talk: Talk, words: list[str]) -> discovery_pb2.DeltaDiscoveryRequest:
        given = _options(words)
        nonce = given.get("nonce", "")
        if ("ack" in words or "nack" in words) and not nonce:
            nonce = talk.unanswered[0]
        if nonce in talk.unanswered:
            talk.unanswered.remove(nonce)
        have = dict(pair.split("@") for pair in _list(given.get("have", "")))
        known = {(of, name, label): version for (of, name, version), label in self.labels.items()}
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=[name for word in words if word[0] == "+" for name in _list(word[1:])],
            resource_names_unsubscribe=[name for word in words if word[0] == "-" for name in _list(word[1:])],
            initial_resource_versions={name: known.get((url, name, of), of) for name, of in have.items()},
            response_nonce=nonce,
        )
        _nack(request, words)
        return request

    def flush(self, sessions: set[Session]) -> None:
        for name, client in self.clients.items():
            if client.session in sessions:
                self.show(name, client.session.publish(self.now))

    def show(self, name: str, actions: list) -> None:
        who = f"{name} " if len(self.clients) > 1 else ""
        for action in actions:
            if isinstance(action, Hello):
                self.show(name, self.clients[name].session.authorize(self.clients[name].scope, self.now))
            else:
                self.out.append(who + _SHOW[type(action)](self, self.clients[name], action))

    def _send(self, client: Client, action: Send) -> str:
        talk = client.talks.setdefault(action.type_url, Talk())
        assert action.nonce
        assert action.nonce not in client.nonces
        client.nonces.add(action.nonce)
        version, parts, gone, unknown = _parse(client, action)
        talk.seen = (action.nonce, version)
        talk.unanswered.append(action.nonce)
        known = {name: self._label(action.type_url, name, of) for name, of in parts}
        text = " ".join([f"{name}@{of}" for name, of in sorted(known.items())] + [f"-{name}" for name in sorted(gone)])
        text = " ".join([*text.split(), *(f"?{name}" for name in sorted(unknown))])
        label = f" {self.versions.setdefault(version, f'V{len(self.versions) + 1}')}" if client.sotw else ""
        return f"send {type_of(action.type_url).short} {action.nonce}{label}: {text or 'nothing'} ({action.cause})"

    def _label(self, url: str, name: str, version: str) -> str:
        if version == "~":
            return version
        if url == EDS and version == empty_endpoints(name).version:
            return "empty"
        return self.labels[url, name, version]


def _parse(client: Client, action: Send) -> tuple[str, list[tuple[str, str]], list[str], list[str]]:
    """The response as a client reads it: version, (name, version) of each resource, removals, aliases that nobody has.
    Checks what always holds.
    """
    kind = discovery_pb2.DiscoveryResponse if client.sotw else discovery_pb2.DeltaDiscoveryResponse
    response = kind.FromString(action.payload)
    assert (response.type_url, response.nonce) == (action.type_url, action.nonce)
    assert response.control_plane.identifier == "cp"
    entries = [_entry(client, part) for part in response.resources]
    unknown = [entry.name for entry in entries if list(entry.aliases) == [entry.name]]
    entries = [entry for entry in entries if entry.name not in unknown]
    told = {one.alias_of or one.name: one for one in action.resources}
    names = [entry.name for entry in entries]
    gone = [] if client.sotw else list(response.removed_resources)
    assert len({*names, *gone, *unknown}) == len([*names, *gone, *unknown]), "a name stands twice in a response"
    assert names == list(told)
    versions = []
    for entry, meant in zip(entries, told.values(), strict=True):
        assert entry.ttl.ToNanoseconds() == (meant.ttl or 0) * 1e9
        if not entry.HasField("resource"):
            versions.append("~")
            assert meant.ttl
            continue
        body = entry.resource
        assert body.type_url == action.type_url
        found = Resource.of(body.type_url, entry.name, body.value, ttl=meant.ttl, aliases=meant.aliases)
        assert found.version == meant.version
        versions.append(found.version)
    if not client.sotw:
        assert [entry.version for entry in entries] == [meant.version for meant in told.values()]
        assert [tuple(entry.aliases) for entry in entries] == [meant.aliases for meant in told.values()]
    version = response.version_info if client.sotw else response.system_version_info
    return version, list(zip(names, versions, strict=True)), gone, unknown


def _entry(client: Client, part) -> discovery_pb2.Resource:
    """A part of a response as delta's Resource, in which SotW wraps what lapses."""
    if not client.sotw:
        return part
    if part.type_url == WRAPPER:
        return discovery_pb2.Resource.FromString(part.value)
    return discovery_pb2.Resource(name=wire.first(part.value, 1).decode(), resource=part)


def _list(text: str) -> list[str]:
    return text.split(",") if text else []


def _pairs(text: str) -> list[list[str]]:
    return [pair.split(":") for pair in _list(text)]


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def _nack(request, words: list[str]) -> None:
    if "nack" in words:
        request.error_detail.code = 13
        request.error_detail.message = words[words.index("nack") + 1]


def _names(names) -> str:
    return ",".join(sorted(names))


_SHOW = {
    Send: Stage._send,
    Subscribed: lambda _, __, of: (
        f"subscribe {type_of(of.type_url).short} {_names(of.names) or 'nothing'}"
        f"{' -' + _names(of.dropped) if of.dropped else ''} ({of.cause})"
    ),
    Sought: lambda _, __, of: f"seek {type_of(of.type_url).short} {_names(of.names)}",
    Deferred: lambda stage, _, of: (
        f"defer {type_of(of.type_url).short} {','.join(of.names) or 'everything'}"
        f"{f' and {of.more} more' if of.more else ''} for {of.until - stage.now:g} s: {of.why}"
    ),
    Acked: lambda _, __, of: f"ack {type_of(of.type_url).short} {of.nonce}",
    Nacked: lambda _, __, of: f"nack {type_of(of.type_url).short} {of.nonce} {_names(of.names)}: {of.error}",
    Stale: lambda _, __, of: f"stale {type_of(of.type_url).short} {of.nonce}",
    Close: lambda _, __, of: f"close {of.code}: {of.message}",
}


def _sections(path: Path) -> list[tuple[str, str]]:
    text = path.read_text()
    starts = [match.start() for match in HEAD.finditer(text)] + [len(text)]
    return [(text[:start], text[start:end]) for start, end in itertools.pairwise(starts)]


def perform(section: str, service: str = "") -> str:
    """The section with what happens in the place of what is expected."""
    head = HEAD.match(section)
    stage, done = Stage(head["variant"], service), []
    for block in re.split(r"\n\n+", section.strip()):
        command, rule, _ = block.partition("\n----")
        done.append(f"{command}\n----\n{stage.play(command)}" if rule else block)
        assert rule or not command.splitlines()[-1:] or command.splitlines()[-1].startswith("#"), (
            f"no ---- in {block!r}"
        )
    return "\n\n".join(done) + "\n\n"


def _only_type(section: str) -> str:
    """The type of a dialogue that the client p leads about one type, whole, with nothing that only ADS can do."""
    kinds = set(re.findall(r"^p?> (\S+)", section, re.MULTILINE))
    spoken = "".join(kinds) if len(kinds) == 1 else ""
    return spoken if spoken in SHORT and not re.search(r"service=|not asked for", section) else ""


def _tests(*, alone: bool = False):
    for path in FILES:
        for _, section in _sections(path):
            head = HEAD.match(section)
            if not alone or _only_type(section):
                name = f"{path.stem}-{head['cases']}-{head['variant']}"
                yield pytest.param(path, section, id=name, marks=_marks(path, head))


def _marks(path: Path, head: re.Match[str]) -> list[pytest.MarkDecorator]:
    numbers = [number.strip() for number in head["cases"].split(",")]
    shows = [(pytest.mark.pitfall if number[0] == "P" else pytest.mark.case)(number) for number in numbers]
    where = path.relative_to(Path(__file__).parents[2]).as_posix()
    return [*shows, pytest.mark.variant(head["variant"]), pytest.mark.shown_in(where)]


@pytest.mark.parametrize(("path", "section"), list(_tests()))
def test_transcript(path: Path, section: str):
    happened = perform(section)
    if REWRITE:
        path.write_text(path.read_text().replace(section, happened))
    else:
        assert happened.strip() == section.strip()


@pytest.mark.parametrize(("path", "section"), list(_tests(alone=True)))
def test_the_same_on_the_service_of_its_type(path: Path, section: str):
    assert perform(section, _only_type(section)).strip() == section.strip()
