"""Any dialogue with a client that warms as Envoy does ends well: it withholds its ACKs, comes back, and meets other servers.

The client is `envoy_model.Envoy`. (No stream ends here while a cluster waits for a secret: Envoy then asks for no clusters on
the next one, whoever serves it, until its own `initial_fetch_timeout`.)

Servers publish whatever they like, at any moment, and one may take the place of another with other content. Whoever ends
with a consistent state ends with a client that has it, a second after the last thing it waits for; and nothing that the
order of the server has caused stays refused.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.unit.xds.envoy_model import CHANGED, PLAIN, SECRET, SECRETIVE, Envoy, cluster, content_of, plain
from tsunagu.xds.actions import Close, Hello, Send
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import unconverged
from tsunagu.xds.resources import CDS, EDS, LDS, SDS, Resource
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

FUZZ_SECONDS = float(os.environ.get("TSUNAGU_FUZZ_SECONDS", "0"))
SOON = 1.0 + 1e-6  # s; the longest that nothing may be said while a client lacks something
WHOLE = 2.0  # s; and the longest until it lacks nothing, of several such waits after each other
NAMES = ("a", "b", "c")
LISTENERS = ("l", "m")


class Machine(RuleBasedStateMachine):
    variant = DELTA

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.streams = 0
        self.revision = 0

    @initialize()
    def start(self) -> None:
        self.envoy = Envoy(self.variant)
        self.serve()

    def serve(self) -> None:
        """A server without anything."""
        self.catalog = Catalog()
        self.catalog.synced = True
        self.connect()

    def connect(self) -> None:
        self.streams += 1
        self.session = Session(self.catalog, self.variant, stream=str(self.streams))
        self.envoy.new_stream()
        self.envoy.begin()

    # The server.

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from((0, PLAIN, CHANGED, SECRETIVE)), bare=st.booleans())
    def put_cluster(self, name: str, content: int, bare: bool) -> None:
        """A cluster and its endpoints come, change, or go; `bare`: without endpoints."""
        if content:
            assigned = () if bare else (plain(EDS, name, content),)
            self.publish(cluster(name, content), *assigned)
        else:
            self.publish(removals=((CDS, name), (EDS, name)))

    @rule(name=st.sampled_from(LISTENERS), to=st.sampled_from(NAMES), old=st.sampled_from(NAMES), swap=st.booleans())
    def put_listener(self, name: str, to: str, old: str, swap: bool) -> None:
        """A listener with its cluster; in a swap another cluster goes in the same step."""
        gone = ((CDS, old), (EDS, old)) if swap and old != to else ()
        self.publish(cluster(to, PLAIN), plain(EDS, to, PLAIN), plain(LDS, name, to), removals=gone)

    @rule(there=st.booleans())
    def put_secret(self, there: bool) -> None:
        if there:
            self.publish(plain(SDS, SECRET, "key"))
        else:
            self.publish(removals=((SDS, SECRET),))

    @precondition(lambda self: not self.envoy.waits_for_a_secret)
    @rule()
    def another_server(self) -> None:
        self.session.close()
        self.serve()

    @precondition(lambda self: not self.envoy.waits_for_a_secret)
    @rule()
    def reconnect(self) -> None:
        self.session.close()
        self.connect()

    def publish(self, *upserts: Resource, removals=()) -> None:
        self.revision += 1
        touched = self.catalog.publish([BundleUpdate("b", upserts, tuple(removals))], self.revision, "change")
        if self.session in touched:
            self.take(self.session.publish(self.now))

    # The way between them: each side has its queue.

    @precondition(lambda self: self.envoy.inbox)
    @rule()
    def client_hears(self) -> None:
        self.envoy.hear()

    @precondition(lambda self: self.envoy.outbox)
    @rule()
    def server_hears(self) -> None:
        request = self.envoy.outbox.popleft()
        self.take(self.session.receive(request.SerializeToString(), self.now))

    @rule(seconds=st.sampled_from((0.1, 0.3, 2.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tick()

    def tick(self) -> None:
        if self.session.deadline is not None and self.session.deadline <= self.now:
            self.take(self.session.tick(self.now))

    def take(self, actions: list) -> None:
        for action in actions:
            assert not isinstance(action, Close)
            if isinstance(action, Hello):
                self.take(self.session.authorize(Scope("p", ("b",)), self.now))
            if isinstance(action, Send):
                self.envoy.inbox.append(action)

    # The end.

    def teardown(self) -> None:
        if not self.streams:
            return
        self.make_consistent()
        begun = spoke = self.now
        for _ in range(2000):
            if self.envoy.outbox:
                self.server_hears()
            elif self.envoy.inbox:
                self.client_hears()
            elif self.session.deadline is not None:
                self.now = max(self.now, self.session.deadline)
                self.tick()
                continue
            else:
                break
            assert self.now - spoke <= SOON, f"nothing was said for {self.now - spoke} s"
            spoke = self.now
        else:
            raise AssertionError("it never ends")
        self.is_right()
        assert spoke - begun <= WHOLE, f"it took {spoke - begun} s"

    def make_consistent(self) -> None:
        """What the last state refers to is there."""
        missing = []
        for name in LISTENERS:
            found = self.catalog.resource("b", LDS, name)
            if found is not None and self.catalog.resource("b", CDS, content_of(found)) is None:
                missing.append(cluster(content_of(found), PLAIN))
        clusters = [self.catalog.resource("b", CDS, name) for name in NAMES]
        wanting = any(one is not None and content_of(one) == str(SECRETIVE) for one in clusters)
        if wanting and self.catalog.resource("b", SDS, SECRET) is None:
            missing += [cluster(one.name, PLAIN) for one in clusters if one and content_of(one) == str(SECRETIVE)]
        self.publish(*missing)

    def is_right(self) -> None:
        for url in (CDS, LDS):
            there = {name: self.catalog.resource("b", url, name) for name in (*NAMES, *LISTENERS)}
            wanted = {name: one.version for name, one in there.items() if one is not None}
            assert self.envoy.held(url) == wanted, url
        assert not self.envoy.warming
        assert not self.envoy.withheld
        for name in self.envoy.active:
            found = self.catalog.resource("b", EDS, name)
            if found is not None:
                assert self.envoy.endpoints[name] == found.version
        assert unconverged([self.session], self.revision, self.now) == ""
        assert not any(watch.rejections for watch in self.session.watches.values())


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


@pytest.mark.parametrize("machine", [Machine, SotwMachine], ids=lambda one: one.variant.name)
def test_a_listener_that_is_refused_before_clusters_are_asked_for_is_sent_once_more(machine):
    """A cluster of the server before warms, so Envoy asks for listeners on the new stream, and for clusters only later."""
    dialogue = machine()
    dialogue.start()
    dialogue.server_hears()
    dialogue.client_hears()
    dialogue.server_hears()
    dialogue.put_listener(name="l", to="a", old="a", swap=False)
    dialogue.client_hears()
    dialogue.another_server()
    dialogue.put_listener(name="l", to="b", old="b", swap=False)
    dialogue.teardown()  # which judges the end


@pytest.mark.parametrize("machine", [Machine, SotwMachine], ids=lambda one: one.variant.name)
def test_a_listener_whose_cluster_comes_after_it_is_sent_once_more(machine):
    """The refusal was right when it came: a cluster was taken away under its listener, and put back later."""
    dialogue = machine()
    dialogue.start()
    dialogue.put_listener(name="l", to="a", old="a", swap=False)
    dialogue.put_cluster(name="a", content=0, bare=False)
    dialogue.server_hears()
    dialogue.client_hears()
    dialogue.server_hears()
    dialogue.server_hears()
    dialogue.teardown()


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
