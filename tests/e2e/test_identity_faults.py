"""Wrong identities on real Envoys: who is refused, what both sides count, which flags calls end with, and what `why` says.

A row spoils one thing in a mesh that all rows share, and what it did is undone afterwards. A call of http never succeeds in
between: its connection would be used again, whatever the identity is by then.
"""

import contextlib
import json
import time
from collections import Counter
from typing import NamedTuple

import pytest

from tests.e2e.access_lab import put
from tests.e2e.shop import all_connected
from tests.e2e.test_identity_keys import file_of
from tests.e2e.test_mutual_tls import in_force, of_a_stranger, say
from tests.e2e.traffic_lab import PATIENCE, ask, caller, count, lab, service, stat
from tests.e2e.why_lab import why
from tsunagu.ca import authority, requests
from tsunagu.ca.files import AuthorityFiles
from tsunagu.mesh.localities import Locality
from tsunagu.mesh.traffic.model import Destination, EndpointPolicy
from tsunagu.model import identities
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh
from tsunagu.translate import wire
from tsunagu.translate.clusters import ServiceCluster, service_cluster
from tsunagu.translate.endpoints import load_assignment
from tsunagu.translate.names import secured_assignment
from tsunagu_node.identity import keys
from tsunagu_node.runtime import config_file

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

CALLER = identities.of_service(identities.TRUST_DOMAIN, "lab", "default", "caller")
TARGETS = {"http": "http://blue/", "tcp": "blue:7000"}
INGRESSES = {"http": 15400, "tcp": 15402}
CALLS = 4  # one on each connection of the app


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue")).replace("name: lab}", "name: lab, tls: strict}", 1))
        mesh.wait_steady()
        mesh.wait_until(lambda: in_force(mesh, "strict"), PATIENCE, "TLS alone")
        mesh.wait_converged()
        works(mesh)
        yield mesh


def works(mesh):
    mesh.wait_until(lambda: count(mesh, "tcp", CALLS, "blue:7000") == {"blue": CALLS}, PATIENCE, "calls, as before")


# -- what is spoilt ---------------------------------------------------------------------------------------------------


def identity_file(mesh):
    return file_of(mesh, mesh.task("caller"))


def shown(mesh):
    """The serial numbers of the certificates that the caller's Envoy has."""
    found = mesh.envoy(caller(mesh), "/certs").json()["certificates"]
    return {one["cert_chain"][0]["serial_number"].lstrip("0") for one in found if one.get("cert_chain")}


@contextlib.contextmanager
def written(mesh, text):
    """Another identity file of the caller, renamed over it as its node agent does; the right one afterwards."""
    path = identity_file(mesh)
    right = path.read_text()
    config_file.write(path, text)
    try:
        yield
    finally:
        config_file.write(path, right)
        serial = json.loads(right)["version_info"]
        mesh.wait_until(lambda: shown(mesh) == {serial}, PATIENCE, "the right certificate")


def file_by(signer, now, life):
    """An identity file of the caller, and the serial of its certificate."""
    key = keys.make()
    answer = signer.sign(requests.key_of(key.request()), CALLER, now, life).told("default")
    return key.file(answer, now), answer.identity.serial


@contextlib.contextmanager
def showing(mesh, text, serial):
    with written(mesh, text):
        mesh.wait_until(lambda: shown(mesh) == {serial}, PATIENCE, "the other certificate in the caller's Envoy")
        yield


def expired(mesh):
    """The certificate that the caller could have had until just now."""
    mine = AuthorityFiles(mesh.home.authorities, {}).made("default", time.time())[-1]
    text, serial = file_by(mine, time.time() - 30, 1.0)
    return showing(mesh, text, serial)


def of_another_authority(mesh):
    text, serial = file_by(authority.make(identities.TRUST_DOMAIN, time.time()), time.time(), 3600.0)
    return showing(mesh, text, serial)


@contextlib.contextmanager
def refused_by_policy(mesh):
    put(mesh, "{kind: AccessPolicy, name: lab/blue, to: {service: blue}, allow: [{from: [{service: somebody}]}]}")
    try:
        yield
    finally:
        put(mesh)


@contextlib.contextmanager
def led_to_plaintext(mesh):
    """The endpoint is marked as one that speaks TLS, and is the plaintext ingress."""
    say(mesh, "permissive")
    name = secured_assignment("lab", Destination("blue"))
    at = (mesh.task("blue").task.status.ip, 8080)
    there = Locality(zone="", revision="", priority=0, weight=1, endpoints=(at,), tls=frozenset({at}))
    mesh.override("lab", "EDS", name, load_assignment(name, (there,)))
    try:
        mesh.wait_converged()
        yield
    finally:
        mesh.override("lab", "EDS", name)
        say(mesh, "strict")


@contextlib.contextmanager
def overridden(mesh, *resources):
    """Resources (type, name, body) in the place of what the control plane means."""
    for resource in resources:
        mesh.override("lab", *resource)
    try:
        mesh.wait_converged()
        yield
    finally:
        for kind, name, _ in resources:
            mesh.override("lab", kind, name)
        mesh.wait_converged()


def of_a_stranger_s_trust(mesh):
    """Everybody trusts an authority that has signed nobody here."""
    return overridden(mesh, of_a_stranger())


def in_plaintext(mesh):
    """The caller's cluster is the one of a mesh without TLS, and leads to a TLS ingress."""
    name, to = "svc/lab/blue", Destination("blue")
    at = (mesh.task("blue").task.status.ip, INGRESSES["http"])
    there = Locality(zone="", revision="", priority=0, weight=1, endpoints=(at,))
    row = ServiceCluster("lab", to, "http", 300, EndpointPolicy())
    cluster = wire.encode(service_cluster(name, row))
    return overridden(mesh, ("EDS", name, load_assignment(name, (there,))), ("CDS", name, cluster))


class Row(NamedTuple):
    """`flags`, `caller`, `server`: of the protocol that fails; counters that grow, of the caller's cluster and the server's TLS ingress."""

    spoilt: object
    protocol: str
    flags: str  # with which calls end at the caller; empty: none, since its handshake was done before it was refused
    caller: tuple[str, ...]
    server: tuple[str, ...]
    kind: str
    sure: str
    words: str


ROWS = {
    "expired, http": Row(expired, "http", "URX,UC", ("ssl.handshake", "ssl.connection_error"), ("fail_verify_error",), "identity-expired", "sure", "has expired"),
    "expired, tcp": Row(expired, "tcp", "", ("ssl.handshake", "ssl.connection_error"), ("fail_verify_error",), "identity-expired", "sure", "has expired"),
    "of an unknown authority, http": Row(of_another_authority, "http", "URX,UC", ("ssl.handshake", "ssl.connection_error"), ("fail_verify_error",), "identity-foreign", "likely", "has not signed for it"),
    "of an unknown authority, tcp": Row(of_another_authority, "tcp", "", ("ssl.handshake", "ssl.connection_error"), ("fail_verify_error",), "identity-foreign", "likely", "has not signed for it"),
    "of somebody who may not call, tcp": Row(refused_by_policy, "tcp", "", ("ssl.handshake", "ssl.connection_error"), ("fail_verify_san",), "access-refused", "sure", "add to its allow"),
    "a server of an authority that is not trusted, tcp": Row(of_a_stranger_s_trust, "tcp", "UF,URX", ("ssl.fail_verify_error",), (), "server-untrusted", "sure", "does not trust who has signed"),
    "plaintext to a TLS port, http": Row(in_plaintext, "http", "URX,UC", ("upstream_cx_destroy_remote",), ("connection_error",), "plaintext-to-tls", "sure", "speaks plaintext"),
    "TLS to a plaintext port, http": Row(led_to_plaintext, "http", "URX,UF", ("upstream_cx_connect_fail",), (), "tls-to-plaintext", "likely", ":8080"),
}  # fmt: skip


def counters(mesh, row):
    cluster = {"http": "svc/lab/blue", "tcp": "svc/lab/blue-raw"}[row.protocol]
    mine = {name: stat(mesh, f"cluster.{cluster}.{name}") for name in row.caller}
    server, port = task_id(mesh.task("blue")), INGRESSES[row.protocol]
    theirs = {name: stat(mesh, f"listener.0.0.0.0_{port}.ssl.{name}", server) for name in row.server}
    return mine | theirs


def call(mesh, protocol):
    """Whether the app has answered."""
    if protocol == "http":
        return ask(mesh, TARGETS["http"]).status == 200
    return "blue" in count(mesh, "tcp", CALLS, TARGETS["tcp"])


def flags(mesh):
    """Response flags -> how many of the caller's calls have ended with them."""
    text = mesh.envoy(caller(mesh), "/stats?filter=^flagged.egress").text
    found = Counter()
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        found[name.partition(".flags.")[2].partition(".grpc.")[0]] += int(value)
    return found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_is_refused_and_what_each_side_says(mesh, row):
    with row.spoilt(mesh):
        before, flags_before = counters(mesh, row), flags(mesh)
        assert not call(mesh, row.protocol)
        mesh.wait_until(
            lambda: all(value > before[name] for name, value in counters(mesh, row).items()),
            PATIENCE,
            "what is counted",
        )
        wanted = {row.flags} if row.flags else set()
        mesh.wait_until(lambda: set(flags(mesh) - flags_before) == wanted, PATIENCE, f"flags {wanted}")
        said = why(mesh, "caller", TARGETS[row.protocol])
        assert (said.kind, said.sure) == (row.kind, row.sure), said
        assert row.words in said.sentence
    works(mesh)


@contextlib.contextmanager
def nobody_can_sign(mesh):
    """The authority's key may be read by others, so that the next control plane does not use it."""
    (file,) = mesh.home.authorities.rglob("*.pem")
    file.chmod(0o644)
    try:
        mesh.kill("serve")
        mesh.wait_until(lambda: all_connected(mesh), PATIENCE, "another control plane, with all proxies")
        yield
    finally:
        file.chmod(0o600)


@pytest.mark.slow("a control plane that dies, and tasks that are replaced before and after")
def test_without_a_certificate_a_new_caller_calls_nobody_and_a_new_server_does_not_begin_to_serve(mesh):
    with nobody_can_sign(mesh):
        renewed(mesh, "caller", lambda task: task.status.identity.problem and runs(task))
        said = why(mesh, "caller", "http://blue/")
        assert (said.kind, said.sure) == ("identity-missing", "sure"), said
        assert "has mode 0644" in said.sentence
        assert "make it 0600" in said.sentence
        renewed(mesh, "blue", lambda task: "no identity yet" in task.status.waits_for)
        said = why(mesh, "caller", "http://blue/")
        assert (said.kind, said.sure) == ("tls-not-ready", "sure"), said
        assert "it has no identity yet" in said.sentence
    for name in ("caller", "blue"):  # another one asks at once, and the one that was refused only after a while
        renewed(mesh, name, runs)
    mesh.wait_steady()
    works(mesh)


def runs(task):
    return task.status.last_status == "RUNNING"


def renewed(mesh, name, state):
    """End the tasks of a service, and wait until another one is in that state."""
    mesh.scale(name, 0)
    mesh.wait_until(lambda: not mesh.tasks(name), PATIENCE, f"the end of {name}")
    mesh.scale(name, 1)
    mesh.wait_until(lambda: [one for one in mesh.tasks(name) if state(one.task)], PATIENCE, f"another task of {name}")


@pytest.mark.parametrize("spoil", ["bad JSON", "empty", "of another key", "of another name"])
def test_a_file_that_is_no_good_leaves_the_certificate_that_was_there(mesh, spoil):
    (serial,) = before = shown(mesh)
    assert serial == json.loads(identity_file(mesh).read_text())["version_info"]
    refusals = refused_files(mesh)
    with written(mesh, spoilt_text(mesh, spoil)):
        mesh.wait_until(lambda: refused_files(mesh) > refusals, PATIENCE, "a refusal in Envoy's log")
        assert shown(mesh) == before
        assert call(mesh, "tcp")


def refused_files(mesh):
    return sum("Filesystem config update" in line for line in mesh.logs(caller(mesh), "envoy"))


def spoilt_text(mesh, spoil):
    text, _ = file_by(authority.make(identities.TRUST_DOMAIN, time.time()), time.time(), 3600.0)
    made = json.loads(text)
    (secret,) = made["resources"]
    if spoil == "of another key":
        other, _ = file_by(authority.make(identities.TRUST_DOMAIN, time.time()), time.time(), 3600.0)
        key = json.loads(other)["resources"][0]["tls_certificate"]["private_key"]
        secret["tls_certificate"]["private_key"] = key
    elif spoil == "of another name":
        secret["name"] = "somebody"
    return {"bad JSON": "{", "empty": ""}.get(spoil, json.dumps(made))
