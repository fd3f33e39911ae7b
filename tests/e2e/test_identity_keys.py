"""Certificates of tasks in a running mesh: made where a namespace speaks TLS, renewed, rotated, and never a key anywhere else."""

import json
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from tests.e2e.next_agent import kill_node_agent
from tests.e2e.shop import PATIENCE, SHOP, all_connected
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SPEAKS_TLS = "kind: Namespace\nname: shop\ntls: permissive\n"


@pytest.fixture(scope="module")
def shop():
    with Mesh(SHOP, environment={"TSUNAGU_LEAF_SECONDS": "600"}) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        yield mesh


def proxied(mesh):
    return [task for task in mesh.tasks() if task.task.status.HasField("proxy")]


def file_of(mesh, task):
    return mesh.home.tasks / task.meta.name.rpartition("/")[2] / "identity.json"


def secret_of(mesh, task):
    (secret,) = json.loads(file_of(mesh, task).read_text())["resources"]
    return secret["tls_certificate"]


def identities(mesh):
    """Task -> its identity, once every task with a proxy has one."""

    def all_have():
        tasks = proxied(mesh)
        return bool(tasks) and all(task.task.status.identity.id for task in tasks)

    mesh.wait_until(all_have, PATIENCE, "identities of all tasks")
    return {task.meta.name: task.task.status.identity for task in proxied(mesh)}


def bundle(mesh):
    return mesh.get("TrustBundle", "default").trust_bundle


def steady_again(mesh):
    mesh.wait_until(
        lambda: (
            mesh.answers()
            and bundle(mesh).phase == "STEADY"
            and bundle(mesh).rotations_begun == bundle(mesh).rotations_wanted
        ),
        PATIENCE,
        "the end of the rotation",
    )


def tsunagu(mesh, *words, code=0):
    arguments = [sys.executable, "-m", "tsunagu.cli", *words, "--home", str(mesh.home.root)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_1_where_nobody_speaks_tls_there_is_a_placeholder_and_nothing_else(shop):
    for task in proxied(shop):
        assert json.loads(file_of(shop, task).read_text())["resources"] == []
    assert shop.get("TrustBundle", "default") is None
    assert not shop.home.authorities.exists()


def test_2_every_proxy_has_the_identity_that_the_registry_says(shop):
    shop.apply(text=SPEAKS_TLS)
    found = identities(shop)
    for task in proxied(shop):
        spec = task.task.spec
        who = f"gateway/{spec.gateway}" if spec.gateway else f"cluster/{spec.cluster}/service/{spec.service}"
        assert found[task.meta.name].id == f"spiffe://tsunagu.local/ns/shop/{who}"
    assert len({identity.serial for identity in found.values()}) == len(found)


def test_3_its_file_is_its_owners_alone_and_holds_a_pair(shop):
    for task in proxied(shop):
        assert stat.S_IMODE(file_of(shop, task).stat().st_mode) == 0o600
        secret = secret_of(shop, task)
        key = load_pem_private_key(secret["private_key"]["inline_string"].encode(), None)
        (leaf,) = load_pem_x509_certificates(secret["certificate_chain"]["inline_string"].encode())
        assert leaf.public_key() == key.public_key()
        assert f"{leaf.serial_number:x}" == task.task.status.identity.serial


def test_3_it_is_counted_who_has_a_certificate_and_when_it_ends(shop):
    wanted = len(proxied(shop))
    shop.wait_until(lambda: counted(shop)["identity_certificates"] == wanted, PATIENCE, "a certificate of each task")
    found = counted(shop)
    assert found["identity_lacking"] == 0
    assert found["identity_issued"] >= wanted
    first = min(identity.not_after.ToSeconds() for identity in identities(shop).values())
    assert found["identity_expires_timestamp_seconds"] == first
    [authority] = bundle(shop).authorities
    assert found["authority_expires_timestamp_seconds"] == authority.not_after.ToSeconds()


def counted(mesh):
    """What the control plane counts, by name; of certificates each number is there once, for one namespace."""
    return {one["name"]: one.get("value", 0) for one in json.loads(tsunagu(mesh, "xds", "metrics", "-o", "json"))}


def test_4_the_next_node_agent_takes_over_the_same_certificates(shop):
    before = identities(shop)
    kill_node_agent(shop)
    shop.wait_until(lambda: identities(shop) == before, PATIENCE, "the same identities")


@pytest.mark.slow("serve is killed in each phase of a rotation, one of which lasts five seconds")
def test_5_a_rotation_goes_through_though_serve_is_killed_in_each_phase(shop):
    before, old = identities(shop), bundle(shop).signs
    tsunagu(shop, "ca", "rotate", "--no-wait")
    killed = []
    while not killed or bundle(shop).phase != "STEADY":
        phase = bundle(shop).phase
        if phase not in ("STEADY", *killed):
            shop.kill("serve")
            killed.append(phase)
            shop.wait_until(lambda: all_connected(shop), PATIENCE, "serve again, with all proxies")
    steady_again(shop)
    assert bundle(shop).signs != old
    assert [one.fingerprint for one in bundle(shop).authorities] == [bundle(shop).signs]
    after = identities(shop)
    assert {identity.issuer for identity in after.values()} == {bundle(shop).signs}
    assert after.keys() == before.keys()
    shop.wait_until(lambda: len(list(shop.home.authorities.rglob("*.pem"))) == 1, PATIENCE, "the end of the old key")


def test_6_it_is_said_who_a_task_is_and_never_with_what(shop):
    task = proxied(shop)[0]
    identity = identities(shop)[task.meta.name]
    shown = tsunagu(shop, "identity", task.meta.name)
    assert identity.id in shown
    assert identity.serial in shown
    assert bundle(shop).signs[:16] in shown
    assert "PRIVATE" not in shown
    assert "STEADY" in tsunagu(shop, "ca", "show")


def secrets_of(mesh):
    """What nobody may read anywhere: the base64 of every private key, line by line, and as one."""
    keys = [secret_of(mesh, task)["private_key"]["inline_string"] for task in proxied(mesh)]
    for path in mesh.home.authorities.rglob("*.pem"):
        key = load_pem_private_key(path.read_bytes(), None)
        keys.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    lines = [line for key in keys for line in key.splitlines() if not line.startswith("-----") and len(line) > 40]
    # The first line of every P-256 key begins alike; its second line is the key's own.
    return {line.encode() for line in lines}


def read(path):
    """What is in a file; nothing if it is gone by now, as what is only there to be renamed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_7_no_key_is_in_any_log_dump_timeline_or_answer(shop):
    secrets = secrets_of(shop)
    assert len(secrets) > len(proxied(shop))
    own = {file_of(shop, task) for task in proxied(shop)} | set(shop.home.authorities.rglob("*.pem"))
    texts = {str(path): read(path) for path in shop.home.root.rglob("*") if path.is_file() and path not in own}
    assert any(name.endswith("registry.db") for name in texts)
    assert any(name.endswith("envoy.log") for name in texts)
    texts["registry"] = b"".join(one.SerializeToString() for one in shop.objects())
    texts["timeline"] = b"".join(event.SerializeToString() for event in shop.timeline())
    for task in proxied(shop):
        for page in ("/config_dump", "/certs", "/stats"):
            texts[f"{task.meta.name}{page}"] = shop.envoy(task.meta.name, page).body
    texts["identity"] = tsunagu(shop, "identity", "-o", "json").encode()
    texts["ca"] = tsunagu(shop, "ca", "show", "-o", "json").encode()
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_8_what_is_stopped_leaves_no_key(shop):
    task = next(task for task in proxied(shop) if task.task.spec.service == "inventory")
    file = file_of(shop, task)
    assert file.exists()
    shop.stop(task.meta.name)
    shop.wait_until(lambda: not file.exists(), PATIENCE, "the end of its file")
    left = lambda: {one.meta.name for one in shop.tasks()}  # noqa: E731
    shop.wait_until(lambda: task.meta.name not in left(), PATIENCE, "the end of the task")
    shop.wait_steady()


READS = """
import json, os, sys
found = []
for path in json.loads(sys.argv[1]):
    try:
        found.append(open(path).read()[:40])
    except OSError:
        pass
print(json.dumps(found))
"""


def test_9_an_app_reads_no_key_of_its_own_or_another_task(shop):
    files = [str(file_of(shop, task)) for task in proxied(shop)]
    files += map(str, shop.home.authorities.rglob("*.pem"))
    assert len(files) > len(proxied(shop)), "the authority's key is among them"
    for task in proxied(shop):
        if not task.task.spec.gateway:
            done = shop.execute(task.meta.name, sys.executable, "-c", READS, json.dumps(files))
            assert (done.exit_code, done.text.strip()) == (0, "[]"), done
