"""Any dialogue ends well: a client that does what it likes, in any order, has in the end what there is.

The client here is a plain one: it applies what it ACKs, forgets what it unsubscribes, and reconnects with what it has.
Beside the end, each step is judged: no name twice in flight (delta), a response only after the answer to the one before it
or a long wait for that (SotW), nothing for those who asked for nothing, nothing sent that the client has and did not ask
for again, nothing that an operator keeps back, and a barrier that never lies.
"""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Close, Hello, Send
from tsunagu.xds.answers import REPAIR, RETRY
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import unconverged
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, RTDS, SDS, TYPES, Resource, empty_endpoints
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW
from tsunagu.xds.waits import Waits

FUZZ_SECONDS = float(os.environ.get("TSUNAGU_FUZZ_SECONDS", "0"))  # on top of the dialogues that are always the same
LAPSING, LIFE = 3, 5.0  # a content that has a time to live, in seconds
KINDS = (CDS, EDS, SDS, LDS, RDS, RTDS)
WILD = (CDS, LDS)
NAMES = ("a", "b", "c")
WAITS = Waits()
kinds = st.sampled_from(KINDS)
names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)


def made(url: str, name: str, content: int) -> Resource:
    body = wire.text(1, name)
    if url == CDS:
        body += b"\x10\x03" + wire.delimited(3, wire.text(2, name))
    return Resource.of(
        url, name, body + wire.text(99, str(content)), ttl=LIFE if content == LAPSING and TYPES[url].expires else None
    )


class Machine(RuleBasedStateMachine):
    variant = DELTA

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.revision = 0
        self.now = 0.0
        self.streams = 0
        self.asked: dict[str, set[str]] = {}
        self.wild: set[str] = set()
        self.has: dict[str, dict[str, str]] = {url: {} for url in KINDS}
        self.refused: set[tuple[str, str]] = set()
        self.due: set[tuple[str, str]] = set()  # asked for (again), not answered yet
        self.spoilt: set[tuple[str, str]] = set()  # refused, and perhaps repaired
        self.inbox: deque[tuple[Send, set[str]]] = deque()  # and the names that were asked for

    @initialize(synced=st.booleans())
    def start(self, synced: bool) -> None:
        self.catalog.synced = synced
        self.connect()

    def connect(self) -> None:
        self.streams += 1
        self.session = Session(self.catalog, self.variant, stream=str(self.streams))
        self.inbox.clear()
        self.versions: dict[str, str] = {}
        self.spoke = False
        self.let_go: set[str] = set()  # nonces of responses that may never be answered

    @rule(url=kinds, name=st.sampled_from(NAMES), content=st.integers(0, LAPSING), later=st.booleans())
    def publish(self, url: str, name: str, content: int, later: bool) -> None:
        self.revision += 1
        update = BundleUpdate("b", (made(url, name, content),)) if content else BundleUpdate("b", (), ((url, name),))
        if not content and not TYPES[url].full_state:
            self.due.add((url, name))  # what went without a word is told when it comes back, be it the same
        touched = self.catalog.publish([update], self.revision, "change")
        if self.session in touched and not later:  # a busy writer looks when it has time
            self.take(self.session.publish(self.now))

    @rule(add=names, drop=names, url=kinds)
    def subscribe(self, url: str, add: list[str], drop: list[str]) -> None:
        if url in WILD and url not in self.asked and not add:
            self.wild.add(url)
        first = url not in self.asked
        now = self.asked.setdefault(url, set())
        drop = [] if first else drop
        before = set(now)
        now.difference_update(set(drop) - set(add))
        now.update(add)
        if self.variant is SOTW and now and url in self.wild:
            self.wild.discard(url)
        if not now and url not in self.wild:
            self.let_go.update(send.nonce for send, _ in self.inbox if send.type_url == url)
        self.forget(url)
        self.due.update((url, name) for name in (add if self.variant is DELTA else now - before))
        if self.variant is DELTA and url in self.wild:  # what was asked for by name and is no more is told again
            self.due.update((url, name) for name in before - now)
        if first:
            self.due.update((url, name) for name in NAMES if self.covers(url, name) and url in (EDS, SDS))
        self.ask(url, add=sorted(add), drop=drop, first=first)

    @precondition(lambda self: self.inbox)
    @rule()
    def accept(self) -> None:
        self.answer(refuse=False)

    @precondition(lambda self: self.inbox)
    @rule()
    def refuse(self) -> None:
        self.answer(refuse=True)

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.session.deadline is not None and self.session.deadline <= self.now:
            self.take(self.session.tick(self.now))

    @rule(url=kinds, seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def hold(self, url: str, seconds: float) -> None:
        self.session.holds.hold(url, seconds, self.now)
        self.take(self.session.publish(self.now))

    @rule()
    def reconnect(self) -> None:
        self.session.close()
        assert not any(composite.users for composite in self.catalog._composites.values())
        self.refused.clear()
        self.connect()
        self.due.clear()
        for url in [url for url in KINDS if url in self.asked]:
            if url in WILD and not self.asked[url] and url not in self.wild:
                del self.asked[url]  # the client would not ask at all; an empty request is a wildcard
                continue
            self.due.update((url, name) for name in NAMES if self.covers(url, name))
            star = ["*"] if url in self.wild and self.asked[url] else []  # an empty list alone is the wildcard of old
            self.ask(url, add=star + sorted(self.asked[url]), drop=[], first=True)

    @rule()
    def sync(self) -> None:
        self.take([action for session in self.catalog.mark_synced() for action in session.publish(self.now)])

    @invariant()
    def nothing_is_in_flight_twice(self) -> None:
        for watch in (getattr(self, "session", None) and self.session.watches.values()) or ():
            flying = [name for waiting in watch.outstanding.values() for name in waiting.names]
            assert len(flying) == len(set(flying))
            if self.variant is SOTW:  # a response is overtaken only by who has waited for its answer
                sent = [waiting.sent_at for waiting in watch.outstanding.values()]
                patience = WAITS.warm_up if watch.type.url == CDS else WAITS.answer
                assert all(newer - older >= patience for older, newer in pairwise(sent))

    @invariant()
    def the_barrier_tells_the_truth(self) -> None:
        if not self.revision or not self.catalog.synced or not self.session.watches:
            return
        if not unconverged([self.session], self.revision, self.now):
            open_ = [send for send, _ in self.inbox if send.nonce not in self.let_go and send.cause != "heartbeat"]
            assert open_ == []
            self.is_right(but_for_refusals=False)

    def teardown(self) -> None:
        if not self.streams:
            return
        self.sync()
        for url in KINDS:  # what lapses is never quiet
            for name in NAMES:
                there = self.catalog.resource("b", url, name)
                if there is not None and there.ttl:
                    self.publish(url=url, name=name, content=1, later=False)
        for _ in range(200):
            if self.inbox:
                self.answer(refuse=False)
            elif self.session.deadline is not None:
                self.wait(10.0)
            else:
                break
        assert not self.inbox, "it never ends"
        self.is_right()

    # The client.

    def covers(self, url: str, name: str) -> bool:
        return url in self.wild or name in self.asked.get(url, ())

    def forget(self, url: str) -> None:
        for name in [name for name in self.has[url] if not self.covers(url, name)]:
            del self.has[url][name]

    def ask(
        self, url: str, *, add: list[str], drop: list[str], first: bool = False, nonce: str = "", nack: bool = False
    ):
        node = None if self.spoke else discovery_pb2.Node(id="p")
        self.spoke = True
        error = discovery_pb2.Status(code=13, message="no") if nack else None
        if self.variant is SOTW:
            request = discovery_pb2.DiscoveryRequest(
                type_url=url, node=node, error_detail=error, response_nonce=nonce or self.versions.get(url, ""),
                resource_names=sorted(self.asked[url]),
            )  # fmt: skip
        else:
            have = self.has[url] if first else {}
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=url, node=node, error_detail=error, response_nonce=nonce, initial_resource_versions=have,
                resource_names_subscribe=add, resource_names_unsubscribe=drop,
            )  # fmt: skip
        self.take(self.session.receive(request.SerializeToString(), self.now))

    def take(self, actions: list) -> None:
        for action in actions:
            assert not isinstance(action, Close)
            if isinstance(action, Hello):
                self.take(self.session.authorize(Scope("p", ("b",)), self.now))
            if isinstance(action, Send):
                assert self.catalog.synced
                assert self.asked.get(action.type_url) or action.type_url in self.wild
                free = self.session.holds.until(action.type_url, self.now) is None
                assert free or action.cause in (REPAIR, "heartbeat"), "an operator keeps it back"
                sent = [*(one.name for one in action.resources), *action.removed]
                answered = {name for name in sent if (action.type_url, name) in self.due}
                self.due.difference_update((action.type_url, name) for name in sent)
                self.inbox.append((action, answered))

    def answer(self, *, refuse: bool) -> None:
        send, answered = self.inbox.popleft()
        url, has = send.type_url, self.has[send.type_url]
        full = self.variant is SOTW and TYPES[url].full_state
        kept = send.cause == "heartbeat"
        for resource in send.resources if kept and not full else ():
            assert resource.ttl
            if self.covers(url, resource.name) and (url, resource.name) not in self.refused | self.spoilt:
                assert has.get(resource.name, resource.version) == resource.version, "it has something else"
        if not refuse:
            if full:
                has.clear()
            for resource in send.resources:
                unsure = (url, resource.name) in self.refused | self.spoilt  # what it has after a refusal is its own
                assert (
                    unsure
                    or resource.name in answered
                    or url == EDS
                    or full
                    or kept
                    or send.cause == RETRY
                    or has.get(resource.name) != resource.version
                ), "it has that"
                if self.covers(url, resource.name) and (full or not kept):
                    has[resource.name] = resource.version
            if self.variant is DELTA:
                for name in send.removed:
                    has.pop(name, None)
        told = NAMES if full else [*(one.name for one in send.resources), *send.removed]
        for name in told:
            self.note(url, name, send, refuse=refuse)
        self.versions[url] = send.nonce
        if self.asked.get(url) or url in self.wild:
            self.ask(url, add=[], drop=[], nonce=send.nonce, nack=refuse)

    def note(self, url: str, name: str, send: Send, *, refuse: bool) -> None:
        """A refused secret is repaired by sending the good one again: to accept that is not to accept what was refused."""
        if send.cause == REPAIR and not refuse:
            return
        (self.refused.add if refuse else self.refused.discard)((url, name))
        if url == SDS:
            (self.spoilt.add if refuse else self.spoilt.discard)((url, name))

    def is_right(self, *, but_for_refusals: bool = True) -> None:
        for url in self.asked:
            for name in NAMES:
                if self.covers(url, name) and not (but_for_refusals and (url, name) in self.refused):
                    self.judge(url, name)

    def judge(self, url: str, name: str) -> None:
        has, there = self.has[url].get(name), self.catalog.resource("b", url, name)
        if there is None and url == EDS and self.catalog.resource("b", CDS, name):
            there = empty_endpoints(name)
        if url == EDS and there and there.body == wire.text(1, name) and not self.covers(CDS, name):
            return  # made up for a cluster that this client does not ask for, and so is not told of
        if url == EDS and {has, there and there.version} == {None, empty_endpoints(name).version}:
            return  # the cluster came or went after the answer: told with the cluster, to those who ask for clusters
        if there is None and (url == SDS or (self.variant is SOTW and not TYPES[url].full_state)):
            return  # nothing is said of what is gone
        assert has == (there.version if there else None), (url, name)


class SotwMachine(Machine):
    variant = SOTW


_SETTINGS = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    report_multiple_bugs=False,
)
TestDelta = Machine.TestCase
TestDelta.settings = _SETTINGS
TestSotw = SotwMachine.TestCase
TestSotw.settings = _SETTINGS


@pytest.mark.skipif(not FUZZ_SECONDS, reason="TSUNAGU_FUZZ_SECONDS says how long: other dialogues, and longer ones")
@pytest.mark.timeout(FUZZ_SECONDS * 2 + 60)
@pytest.mark.parametrize("machine", [Machine, SotwMachine], ids=lambda one: one.variant.name)
def test_other_dialogues(machine):
    end, rounds = time.monotonic() + FUZZ_SECONDS, 0
    longer = settings(_SETTINGS, max_examples=200, stateful_step_count=60, derandomize=False, database=None)
    while time.monotonic() < end:
        rounds += 1
        run_state_machine_as_test(seeded(time.time_ns())(machine), settings=longer)
    print(f"{machine.variant.name}: {rounds * longer.max_examples} dialogues in {FUZZ_SECONDS:.0f} s")
