"""The identities with which a machine calls: one of each namespace while somebody needs it, in files of their owner's alone."""

import asyncio
import ssl
import stat
import time
from contextlib import ExitStack, asynccontextmanager

import pytest

from tsunagu.ca import authority, requests
from tsunagu.kit import tokens
from tsunagu.model import identities, ids
from tsunagu.v1 import identities_pb2
from tsunagu_node.control import Refused
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.identity.trust import Trust

KEY = b"k" * 32
ID = "spiffe://tsunagu.local/ns/shop/host/n1"
LONG = "n" * 300  # no file can be called so


class Control:
    """A control plane that signs, or is away as long as `refusal` says why."""

    def __init__(self):
        self.asked = []
        self.refusal = ""
        self.signer = authority.make("tsunagu.local", time.time())

    async def issue(self, request):
        self.asked.append(request)
        if self.refusal:
            raise Refused(self.refusal)
        host = identities.of_host("tsunagu.local", request.namespace, request.node)
        return self.signer.sign(requests.key_of(request.certificate_request), host, time.time(), 600.0).told("default")

    def bundles(self, *namespaces):
        body = identities_pb2.TrustBundle(
            signs=self.signer.fingerprint,
            namespaces=namespaces,
            authorities=[self.signer.told()],
            trust_domain="tsunagu.local",
        )
        return {"default": ids.make("TrustBundle", "default", body)}


class Machine:
    """Those of the node n1, whose namespaces `shop` and LONG speak TLS; `agent()` is another node agent each time."""

    def __init__(self, folder):
        self.folder = folder
        self.control = Control()
        self.happened = asyncio.Event()

    @asynccontextmanager
    async def agent(self, *expected):
        trust = Trust()
        hosts = HostIdentities(trust, self.control.issue, KEY, self.folder)
        hosts.changed = self.happened.set
        for namespace in expected:
            hosts.expect(namespace)
        job = asyncio.create_task(hosts.run())
        await trust.learn(self.control.bundles("shop", LONG))
        try:
            async with asyncio.timeout(60):
                yield hosts
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def until(self, condition):
        while not condition():
            self.happened.clear()
            await self.happened.wait()

    @property
    def files(self):
        return sorted(path.name for path in self.folder.glob("*"))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "hosts")


async def test_nothing_is_asked_for_before_somebody_needs_it(machine):
    async with machine.agent() as hosts:
        for _ in range(10):
            await asyncio.sleep(0)
        assert (machine.control.asked, hosts.told(), machine.folder.exists()) == ([], [], False)


async def test_it_is_the_node_s_in_that_namespace(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            await host.until_ready()
            (told,) = hosts.told()
        (request,) = machine.control.asked
        assert (request.node, request.task, request.namespace) == ("n1", "", "shop")
        assert tokens.verify(KEY, request.token) == "node:n1"
        assert (told.namespace, told.identity.id, told.identity.problem) == ("shop", ID, "")


async def test_a_namespace_without_tls_has_none(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "lab") as host:
            for _ in range(10):
                await asyncio.sleep(0)
            assert not host.ready
            assert (machine.control.asked, hosts.told()) == ([], [])


async def test_its_files_are_their_owner_s_and_the_key_is_in_one(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            await host.until_ready()
            assert machine.files == ["shop.json", "shop.pem"]
            assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o700
            assert {stat.S_IMODE(path.stat().st_mode) for path in machine.folder.iterdir()} == {0o600}
            assert "PRIVATE" in (machine.folder / "shop.pem").read_text()
            assert "PRIVATE" not in (machine.folder / "shop.json").read_text() + str(hosts.told())


async def test_a_name_that_no_file_can_have_is_no_obstacle(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", LONG) as host:
            await host.until_ready()
            assert len(machine.files) == 2


async def test_it_goes_when_the_last_one_does_not_need_it_any_more(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            with hosts.needed("n1", "shop") as same:
                assert same is host
                await host.until_ready()
            await asyncio.sleep(0)
            assert machine.files
        await machine.until(lambda: not hosts.told())
        assert machine.files == []
        with hosts.needed("n1", "shop") as again:
            await again.until_ready()
        assert len(machine.control.asked) == 2


async def test_the_next_node_agent_goes_on_with_the_same_key(machine):
    with ExitStack() as twins:
        async with machine.agent() as hosts:
            host = twins.enter_context(hosts.needed("n1", "shop"))
            await host.until_ready()
            before = hosts.told()
    async with machine.agent("shop") as later:
        for _ in range(10):
            await asyncio.sleep(0)
        with later.needed("n1", "shop") as host:
            await host.until_ready()
            assert later.told() == before
    assert len(machine.control.asked) == 1


async def test_what_an_earlier_node_agent_left_and_nobody_needs_goes(machine):
    with ExitStack() as twins:
        async with machine.agent() as hosts:
            await twins.enter_context(hosts.needed("n1", "shop")).until_ready()
    async with machine.agent("lab"):
        while machine.files:  # noqa: ASYNC110 - nobody tells of the end of a file
            await asyncio.sleep(0)


@pytest.mark.parametrize("file", ["shop.pem", "shop.json"])
async def test_a_file_that_was_spoilt_meanwhile_is_replaced(machine, file):
    with ExitStack() as twins:
        async with machine.agent() as hosts:
            await twins.enter_context(hosts.needed("n1", "shop")).until_ready()
    (machine.folder / file).write_bytes(b"\xff{")
    async with machine.agent("shop") as later:
        with later.needed("n1", "shop") as host:
            await host.until_ready()
            host.context()
    assert len(machine.control.asked) == 2


async def test_while_the_control_plane_is_away_the_node_says_why(machine):
    machine.control.refusal = "it is being replaced"
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            await machine.until(hosts.told)
            (told,) = hosts.told()
            assert (told.identity.id, told.identity.problem) == ("", "the control plane refused: it is being replaced")
            machine.control.refusal = ""
            await host.until_ready()


async def test_while_its_namespace_ceases_to_speak_tls_it_is_still_good_for_tasks_that_take_nothing_else(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            await host.until_ready()
            context = host.context()
            await hosts.trust.learn(machine.control.bundles())
            await machine.until(lambda: not hosts.told())
            assert host.ready
            assert host.context() is context
            await hosts.trust.learn(machine.control.bundles("shop"))
            await machine.until(hosts.told)
            assert host.context() is not context
    assert len(machine.control.asked) == 2


async def test_the_context_follows_certificate_and_trust(machine):
    async with machine.agent() as hosts:
        with hosts.needed("n1", "shop") as host:
            await host.until_ready()
            context = host.context()
            assert context is host.context()
            assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_3,) * 2
            assert context.verify_mode == ssl.CERT_REQUIRED
            machine.control.signer = authority.make("tsunagu.local", time.time())
            await hosts.trust.learn(machine.control.bundles("shop"))
            await machine.until(lambda: hosts.told()[0].identity.issuer == machine.control.signer.fingerprint)
            assert host.context() is not context
