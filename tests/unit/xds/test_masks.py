"""Whatever is published, and born again, a client behind a mask holds what the mask shows of its bundles, and no more.

The reference is written out: of the bundles in their order the first that shows something under the name.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Mask, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.resources import LDS, RDS, Resource
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

NAMES = ("a", "b", "c")
BUNDLES = ("front", "back")
URLS = (LDS, RDS)
REQUESTS = {DELTA: discovery_pb2.DeltaDiscoveryRequest, SOTW: discovery_pb2.DiscoveryRequest}

pairs = st.frozensets(st.tuples(st.sampled_from(URLS), st.sampled_from(NAMES)), max_size=3)
masks = st.builds(
    Mask,
    hidden=pairs,
    only=st.none() | pairs,
    until=st.dictionaries(st.sampled_from(URLS), st.integers(0, 3)).map(lambda found: frozenset(found.items())),
)
#: bundle, type, name, content (0: it is removed), birth
steps = st.tuples(
    *(st.sampled_from(choices) for choices in (BUNDLES, URLS, NAMES)), st.integers(0, 2), st.integers(0, 4)
)


class Client:
    """One that accepts everything, of both types: all listeners, and all routes by name."""

    def __init__(self, catalog: Catalog, variant, mask: Mask) -> None:
        self.variant = variant
        self.session = Session(catalog, variant, stream="1")
        self.has: dict[str, dict[str, str]] = {url: {} for url in URLS}
        self.say(LDS)
        self.take(self.session.authorize(Scope("p", BUNDLES, mask=mask), 0))
        self.say(RDS)

    def say(self, url: str, nonce: str = "", version: str = "") -> None:
        message = REQUESTS[self.variant](type_url=url, response_nonce=nonce)
        message.node.id = "p"
        names = NAMES if url == RDS else ()
        if self.variant is SOTW:
            message.resource_names.extend(names)
            message.version_info = version
        elif not nonce:
            message.resource_names_subscribe.extend(names)
        self.take(self.session.receive(message.SerializeToString(), 0))

    def take(self, actions: list) -> None:
        for send in [action for action in actions if isinstance(action, Send)]:
            has = self.has[send.type_url]
            if self.variant is SOTW and send.type_url == LDS:
                has.clear()  # such a response is all that there is
            for name in send.removed:
                has.pop(name, None)
            has.update((one.name, one.version) for one in send.resources)
            self.say(send.type_url, send.nonce, send.version)


def resource(url: str, name: str, content: int, born: int) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, str(content))).since(born)


def shown(bundles: dict, mask: Mask, url: str) -> dict[str, str]:
    """Name -> version of what is to be seen of a type."""
    found: dict[str, str] = {}
    for bundle in BUNDLES:
        for (kind, name), one in bundles[bundle].items():
            hidden = (kind, name) in mask.hidden or (mask.only is not None and (kind, name) not in mask.only)
            late = any(one.born > revision for of, revision in mask.until if of == kind)
            if kind == url and not hidden and not late:
                found.setdefault(name, one.version)
    return found


@pytest.mark.parametrize("variant", [DELTA, SOTW], ids=lambda variant: variant.name)
@given(mask=masks, before=st.lists(steps, max_size=6), after=st.lists(steps, max_size=12))
def test_a_client_holds_what_its_mask_shows(variant, mask, before, after):
    catalog, bundles = Catalog(), {name: {} for name in BUNDLES}
    catalog.synced = True

    def publish(bundle, url, name, content, born):
        if content:
            bundles[bundle][url, name] = resource(url, name, content, born)
            update = BundleUpdate(bundle, (bundles[bundle][url, name],))
        else:
            bundles[bundle].pop((url, name), None)
            update = BundleUpdate(bundle, (), ((url, name),))
        return catalog.publish([update], 1, "test")

    for step in before:
        publish(*step)
    client = Client(catalog, variant, mask)
    for step in after:
        seen = {url: shown(bundles, mask, url) for url in URLS}
        touched = publish(*step)
        if seen == {url: shown(bundles, mask, url) for url in URLS}:
            assert client.session not in touched, "nothing has changed of what it sees"
        client.take(client.session.publish(0))
    for url in URLS:
        now = shown(bundles, mask, url)
        if variant is SOTW and url == RDS:  # SotW cannot tell that a route is gone
            assert {name: client.has[url].get(name) for name in now} == now
        else:
            assert client.has[url] == now
