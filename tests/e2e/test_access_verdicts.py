"""The verdict on a call, beside that of a real Envoy that was given the same policies: random ones, each asked many times.

The Envoy's listeners answer by themselves; callers are Python with certificates of a CA of the test's own. What a whole mesh makes of
policies is in test_access.py.
"""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import ssl

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 as tcp
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy_data_plane.google.protobuf import Any

from tests.e2e.xds_lab import ADS, PATIENCE, address, free_port, lab, sockets  # noqa: F401  # fixtures among them
from tsunagu.mesh.access.words import OPEN, AccessRule, Call, PolicyRow, Principal, Requests, admission
from tsunagu.translate.codec import Codec
from tsunagu.translate.secured import access
from tsunagu.xds.resources import CDS, LDS, Resource

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("lab", ["DELTA_GRPC"], indirect=True)]

DOMAIN, SERVICE = "tsunagu.local", "default/orders"
IN_SHOP = "/ns/shop/cluster/default/service"
IDENTITIES = (
    f"{IN_SHOP}/web",
    f"{IN_SHOP}/webs",
    "/ns/shop/cluster/default/task/web",
    "/ns/shop/gateway/front",
    "/ns/shop/host/here",
    "/ns/shopping/cluster/default/service/web",
)
PRINCIPALS = tuple(map(Principal, (*IDENTITIES, "", "/ns/shop/", "/ns/shop/host/", "/ns/back/")))
PATHS = ("/", "/items", "/items/", "/items/7", "/items-old", "/a.B/C", "/a.B/D", "/a.Bc/D")
ODD = (
    "/items/../admin",
    "/items//7",
    "/items/%2e%2e/admin",
    "/items/..;/admin",
    "/items/.x",
    "/items/7?to=../..",
    "/items\\7",
)
METHODS = ("GET", "POST", "DELETE")
GREETING = b"220 ready\n"
SETS, CALLS = 25, 12  # policies, and calls of each


# -- certificates -----------------------------------------------------------------------------------------------------


class Authority:
    """A CA, and certificates that it has signed, in a folder."""

    def __init__(self, folder) -> None:
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        ca = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._sign(name, self._key, ca)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, name, key, extension):
        now = dt.datetime.now(dt.UTC)
        hour = dt.timedelta(hours=1)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - hour).not_valid_after(now + hour)
        return made.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())

    def files(self, path: str) -> tuple[str, str]:
        """Certificate and key of a SPIFFE ID's path."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}{path}")])
        certificate = self._sign(x509.Name([]), key, names)
        stem = self.folder / path.strip("/").replace("/", "_")
        pem = serialization.Encoding.PEM
        stem.with_suffix(".crt").write_bytes(certificate.public_bytes(pem))
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        stem.with_suffix(".key").write_bytes(private)
        return str(stem.with_suffix(".crt")), str(stem.with_suffix(".key"))


# -- what the Envoy is given ------------------------------------------------------------------------------------------


def transport(authority: Authority, validation: tls.SdsSecretConfig | None) -> core.TransportSocket:
    """TLS that demands certificates of the CA, by a secret if there is one."""
    certificate, key = (core.DataSource(filename=one) for one in authority.files(f"{IN_SHOP}/orders"))
    common = tls.CommonTlsContext(tls_certificates=[tls.TlsCertificate(certificate_chain=certificate, private_key=key)])
    if validation is None:
        trusted = core.DataSource(inline_string=authority.pem)
        common.validation_context = tls.CertificateValidationContext(trusted_ca=trusted)
    else:
        common.validation_context_sds_secret_config = validation
    context = tls.DownstreamTlsContext(common_tls_context=common, require_client_certificate=True)
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def http_listener(port: int, socket: core.TransportSocket) -> Resource:
    answer = routes.DirectResponseAction(status=200)
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), direct_response=answer)
    host = routes.VirtualHost(name="all", domains=["*"], routes=[everything])
    manager = hcm.HttpConnectionManager(
        stat_prefix="ingress.web",
        route_config=routes.RouteConfiguration(name="web", virtual_hosts=[host]),
        http_filters=[
            access.http_filter(SERVICE, "web"),
            hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router())),
        ],
    )
    return listener("web", port, socket, listeners.Filter(name="hcm", typed_config=Any.pack(manager)))


def tcp_listener(port: int, socket: core.TransportSocket) -> Resource:
    proxy = tcp.TcpProxy(
        stat_prefix="ingress.raw",
        cluster="greeter",
        upstream_connect_mode=tcp.UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE,
        max_early_data_bytes=0,
    )
    forward = listeners.Filter(name="tcp", typed_config=Any.pack(proxy))
    return listener("raw", port, socket, access.network_filter(SERVICE, "raw"), forward)


def listener(name: str, port: int, socket: core.TransportSocket, *filters: listeners.Filter) -> Resource:
    chain = listeners.FilterChain(filters=list(filters), transport_socket=socket)
    return Resource.of(LDS, name, bytes(listeners.Listener(name=name, address=address(port), filter_chains=[chain])))


def greeter_cluster(port: int) -> Resource:
    host = endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address(port)))
    load = endpoints.ClusterLoadAssignment(
        cluster_name="greeter", endpoints=[endpoints.LocalityLbEndpoints(lb_endpoints=[host])]
    )
    return Resource.of(CDS, "greeter", bytes(clusters.Cluster(name="greeter", load_assignment=load)))


class Access:
    """An Envoy with an HTTP and a tcp port, and callers with certificates. `greeted`: connections that the tcp app has seen."""

    def __init__(self, lab, folder) -> None:
        self.lab, self.authority, self.greeted = lab, Authority(folder), 0
        self.ports = {"web": free_port(), "raw": free_port()}
        self._contexts = {path: self._context(path) for path in IDENTITIES}
        self._closing: list[asyncio.StreamWriter | asyncio.Server] = []

    def _context(self, path: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*self.authority.files(path))
        return context

    async def start(self) -> None:
        server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        self._closing.append(server)
        await self.lab.serve()
        secret = tls.SdsSecretConfig(name=f"admitted/{SERVICE}/raw", sds_config=ADS)
        self.lab.publish(
            greeter_cluster(server.sockets[0].getsockname()[1]),
            http_listener(self.ports["web"], transport(self.authority, None)),
            tcp_listener(self.ports["raw"], transport(self.authority, secret)),
            *self._resources(()),
        )
        await self.lab.until("listener_manager.total_listeners_active", 2)
        await self.lab.until("listener_manager.workers_started", 1)
        await self.lab.converged()

    async def _greet(self, reader, writer) -> None:
        self.greeted += 1
        with contextlib.suppress(OSError):
            writer.write(GREETING)
            while line := await reader.readline():
                writer.write(line)
        writer.close()

    def _resources(self, policies) -> list[Resource]:
        codec = Codec()
        ports = {name: access.PortAccess(SERVICE, name, admission(policies, name), DOMAIN) for name in self.ports}
        return [
            access.build_http(codec, ports["web"]),
            access.build_network(codec, ports["raw"]),
            access.build_admitted(codec, access.PortAdmitted(ports["raw"], self.authority.pem)),
        ]

    async def have(self, *policies: PolicyRow) -> None:
        self.lab.publish(*self._resources(policies))
        await self.lab.converged()

    async def open(self, port: str, identity: str):
        opened = await asyncio.open_connection("127.0.0.1", self.ports[port], ssl=self._contexts[identity])
        self._closing.append(opened[1])
        return opened

    def close(self) -> None:
        for one in self._closing:
            one.close()

    async def http(self, call: Call, connection=None) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        reader, writer = connection or await self.open("web", call.identity)
        kind = "content-type: application/grpc\r\n" if call.path.startswith("/a.") else ""
        writer.write(f"{call.method} {call.path} HTTP/1.1\r\nhost: x\r\n{kind}content-length: 0\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        if connection is None:
            writer.close()
        return int(head[0].split()[1]), headers

    async def takes_request(self, call: Call) -> bool:
        status, headers = await self.http(call)
        if headers.get("grpc-status") == "7":
            return False
        assert status in {200, 403}, (call, status, headers)
        return status == 200

    async def takes_connection(self, call: Call) -> bool:
        """Say nothing and listen: the greeting comes, or the connection ends."""
        with contextlib.suppress(OSError, ssl.SSLError):
            reader, writer = await self.open("raw", call.identity)
            async with asyncio.timeout(PATIENCE):
                found = await reader.read(100)
            writer.close()
            assert found in {b"", GREETING}
            return found == GREETING
        return False

    async def stat(self, name: str) -> int:
        return max(0, await self.lab.stat(name))


@pytest.fixture
async def envoy(lab, tmp_path):
    made = Access(lab, tmp_path)
    await made.start()
    yield made
    made.close()


# -- random policies --------------------------------------------------------------------------------------------------


def some_requests(chance: random.Random) -> Requests:
    method, kind = chance.choice(("", *METHODS)), chance.choice(("", "exact", "below"))
    if not method and not kind:
        return Requests("GET")  # a request of which nothing is said is none that one may write
    return Requests(method, kind, chance.choice(PATHS) if kind else "")


def some_policy(chance: random.Random, number: int) -> PolicyRow:
    name = f"shop/p{number}"
    rules = tuple(
        AccessRule(
            f"{name}[{index}]",
            tuple(chance.sample(PRINCIPALS, chance.randint(1, 2))),
            tuple(some_requests(chance) for _ in range(chance.randint(0, 2))),
        )
        for index in range(chance.randint(0, 3))
    )
    return PolicyRow(name, "shop", SERVICE, chance.choice(((), ("web",), ("raw",))), chance.random() < 0.2, rules)


def some_call(chance: random.Random) -> Call:
    return Call(chance.choice(IDENTITIES), chance.choice(METHODS), chance.choice((*PATHS, *ODD)))


async def test_envoy_gives_the_same_verdicts_on_requests(envoy):
    chance, counts = random.Random(11), {True: 0, False: 0}
    for _ in range(SETS):
        policies = tuple(some_policy(chance, number) for number in range(chance.randint(0, 2)))
        await envoy.have(*policies)
        taken = admission(policies, "web")
        for _ in range(CALLS):
            call = some_call(chance)
            verdict = taken.verdict(call).allowed
            assert await envoy.takes_request(call) is verdict, (call, policies)
            counts[verdict] += 1
    assert min(counts.values()) > SETS  # both came often
    assert await envoy.stat("listener_manager.listener_modified") == 0
    assert await envoy.stat("listener_manager.listener_in_place_updated") == 0


async def test_envoy_gives_the_same_verdicts_on_connections_and_the_app_hears_of_no_refused_one(envoy):
    chance, counts = random.Random(12), {True: 0, False: 0}
    for _ in range(SETS):
        policies = tuple(some_policy(chance, number) for number in range(chance.randint(0, 2)))
        await envoy.have(*policies)
        taken = admission(policies, "raw")
        for identity in IDENTITIES:
            verdict = taken.verdict(Call(identity)).allowed
            assert await envoy.takes_connection(Call(identity)) is verdict, (identity, policies)
            counts[verdict] += 1
    assert min(counts.values()) > SETS
    assert envoy.greeted == counts[True]
    assert await envoy.stat("listener_manager.listener_modified") == 0


# -- what is open, what is counted ------------------------------------------------------------------------------------

WEB, WEBS = IDENTITIES[:2]


def only(identity: str, *, audit: bool = False) -> PolicyRow:
    rule = AccessRule("shop/p[0]", (Principal(identity),))
    return PolicyRow("shop/p", "shop", SERVICE, (), audit, (rule,))


async def test_an_open_http_connection_is_refused_at_its_next_request(envoy):
    connection = await envoy.open("web", WEB)
    call = Call(WEB, "GET", "/")
    assert (await envoy.http(call, connection))[0] == 200
    await envoy.have(only(WEBS))
    assert (await envoy.http(call, connection))[0] == 403
    await envoy.have(only(WEB))
    assert (await envoy.http(call, connection))[0] == 200


async def test_an_open_tcp_connection_lives_on_and_a_new_one_is_refused(envoy):
    reader, writer = await envoy.open("raw", WEB)
    assert await reader.readline() == GREETING
    await envoy.have(only(WEBS))
    assert not await envoy.takes_connection(Call(WEB))
    writer.write(b"still here\n")
    assert await reader.readline() == b"still here\n"
    assert envoy.greeted == 1
    assert await envoy.stat(f"listener.127.0.0.1_{envoy.ports['raw']}.ssl.fail_verify_san") == 1


async def test_refusals_are_counted(envoy):
    await envoy.have(only(WEBS))
    for identity in (WEB, WEBS, WEB):
        await envoy.takes_request(Call(identity, "GET", "/"))
    assert [await envoy.stat(f"http.ingress.web.rbac.{one}") for one in ("allowed", "denied")] == [1, 2]


async def test_audit_counts_and_refuses_nothing(envoy):
    await envoy.have(only(WEBS, audit=True))
    assert await envoy.takes_request(Call(WEB, "GET", "/"))
    assert await envoy.takes_request(Call(WEBS, "GET", "/"))
    assert await envoy.stat("http.ingress.web.rbac.shadow_denied") == 1
    assert await envoy.stat("http.ingress.web.rbac.denied") == 0


async def test_audit_of_tcp_counts_connections_at_their_first_byte_or_end(envoy):
    await envoy.have(only(WEBS, audit=True))
    for identity in (WEB, WEBS):
        reader, writer = await envoy.open("raw", identity)
        assert await reader.readline() == GREETING
        writer.write(b"x\n")
        assert await reader.readline() == b"x\n"
        writer.close()
    assert await envoy.stat("tcp.ingress.raw.rbac.shadow_denied") == 1
    assert await envoy.takes_connection(Call(WEB))  # it says nothing, and is counted when it ends
    await envoy.lab.until("tcp.ingress.raw.rbac.shadow_denied", 2)


async def test_nobody_of_another_ca_is_ever_admitted(envoy, tmp_path):
    assert OPEN.open
    (tmp_path / "other").mkdir()
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.load_cert_chain(*Authority(tmp_path / "other").files(WEB))
    envoy._contexts[WEB] = stranger
    for policy in ((), (only(WEB),)):
        await envoy.have(*policy)
        assert not await envoy.takes_connection(Call(WEB))
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await envoy.http(Call(WEB, "GET", "/"))
