"""What tasks may reach is what their namespaces say, also when those change while they run; answers of DNS let addresses through."""

import asyncio

import dns.message
import dns.rrset

from tests.contract.fake_way_out import FakeWayOut
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2
from tsunagu_node.outside.egress import GRACE, LONGEST, Outside
from tsunagu_node.outside.relay.destinations import HOST, Policy


class Namespaces:
    """An informer whose objects a test changes."""

    synced = True

    def __init__(self):
        self.known = {}
        self._changed = asyncio.Queue()

    def objects(self, kind):
        return self.known

    async def say(self, name, *egress):
        self.known[name] = ids.make("Namespace", name, objects_pb2.Namespace(egress=egress))
        self._changed.put_nowait(None)
        for _ in range(40):  # of the event loop's turns: nobody waits for anything else
            await asyncio.sleep(0)

    async def follow(self):
        while True:
            yield None
            await self._changed.get()


def answer(name, *records):
    reply = dns.message.make_response(dns.message.make_query(name, "A"))
    reply.answer = [dns.rrset.from_text(f"{one}.", ttl, "IN", kind, value) for one, ttl, kind, value in records]
    return reply.to_wire()


async def test_a_task_has_the_policy_of_its_namespace_and_follows_it():
    way, namespaces = FakeWayOut(), Namespaces()
    outside = Outside(way)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outside.run(namespaces, Namespaces()))
        outside.adopt("old-1", "bank")
        await namespaces.say("bank", "deny")
        assert await outside.begin("web-1", "shop") is Policy.ALLOW
        assert await outside.begin("safe-1", "bank") is Policy.DENY
        await outside.begun("safe-1")
        assert way.enforced == {"old-1": Policy.DENY, "web-1": Policy.ALLOW, "safe-1": Policy.DENY}
        await namespaces.say("shop", "api.example.com")
        assert way.enforced["web-1"] is Policy.NAMES
        outside.end("web-1")
        await namespaces.say("bank", "allow")
        assert way.enforced == {"old-1": Policy.ALLOW, "safe-1": Policy.ALLOW}
        running.cancel()


async def test_addresses_that_were_told_are_let_through_until_their_name_is_taken_back():
    way, namespaces = FakeWayOut(), Namespaces()
    outside = Outside(way)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outside.run(namespaces, Namespaces()))
        await namespaces.say("shop", "*.example.com", "api.other.org", "host.tsunagu.internal")
        await outside.begin("web-1", "shop")
        await outside.begun("web-1")
        assert ("web-1", HOST) in way.admitted
        assert outside.refusal("web-1", "WWW.Example.com") == ""
        assert "egress of namespace shop is [" in outside.refusal("web-1", "example.com")
        chain = ("www.example.com", 300, "CNAME", "cdn.net."), ("cdn.net", 20, "A", "198.51.100.1")
        await outside.heard("web-1", "www.example.com", answer("www.example.com", *chain))
        long = ("api.other.org", 10**6, "A", "198.51.100.2")
        await outside.heard("web-1", "api.other.org", answer("api.other.org", long))
        assert way.admitted["web-1", "198.51.100.1"] == 20 + GRACE
        assert way.admitted["web-1", "198.51.100.2"] == LONGEST + GRACE
        await namespaces.say("shop", "api.other.org")
        assert set(way.admitted) == {("web-1", "198.51.100.2")}
        running.cancel()


async def test_nonsense_of_a_server_lets_nothing_through():
    way, namespaces = FakeWayOut(), Namespaces()
    outside = Outside(way)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outside.run(namespaces, Namespaces()))
        await namespaces.say("shop", "www.example.com")
        await outside.begin("web-1", "shop")
        await outside.heard("web-1", "www.example.com", b"\0" * 7)
        assert way.admitted == {}
        running.cancel()
