"""The options of `up` about certificates: what is wrong with them is said before anything starts."""

import time

import pytest

from tests.unit.ca.made import ca
from tsunagu.cli.errors import CliError
from tsunagu.cli.local.certificate_options import Wish


@pytest.fixture
def files(tmp_path):
    root = ca(now=time.time())
    leaf = ca("leaf", now=time.time(), is_ca=False)
    bank = ca("bank", now=time.time(), uri="spiffe://bank.example")
    for name, made in (("root", root), ("leaf", leaf), ("bank", bank)):
        (tmp_path / f"{name}.pem").write_bytes(made.pem)
        (tmp_path / f"{name}.key").write_bytes(made.key_pem)
    return tmp_path


def wish(certificate=None, key=None, others=(), domain="", life="1h"):
    return Wish(certificate, key, others, domain, life)


def test_without_options_nothing_is_said():
    assert wish().words() == ()


def test_they_go_to_the_control_plane_as_variables(files):
    pair = f"{files}/root.pem,{files}/root.key"
    found = wish(files / "root.pem", files / "root.key", [f"audit={pair}"], "bank.example", "10m")
    assert found.words() == (
        f"TSUNAGU_CA=default={pair};audit={pair}",
        "TSUNAGU_TRUST_DOMAIN=bank.example",
        "TSUNAGU_LEAF_SECONDS=600",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda at: wish(at / "root.pem"), "--ca-cert and --ca-key belong together"),
        (lambda at: wish(at / "leaf.pem", at / "leaf.key"), "leaf.pem: the certificate 'CN=leaf' is not a CA"),
        (lambda at: wish(at / "root.pem", at / "leaf.key"), "is of another key than .*leaf.key"),
        (lambda at: wish(at / "none.pem", at / "root.key"), "none.pem cannot be read: No such file"),
        (lambda at: wish(others=["audit"]), "'audit' is no certificate authority: it is NAME=CERTIFICATE,KEY"),
        (lambda at: wish(others=[f"a={at}/root.pem,{at}/root.key"] * 2), "given twice"),
        (lambda at: wish(domain="Bank"), "'Bank' is no trust domain"),
        (
            lambda at: wish(at / "bank.pem", at / "bank.key", domain="mesh.example"),
            "bank.pem is of the trust domain bank.example, and --trust-domain says mesh.example",
        ),
        (lambda at: wish(life="1s"), "from 5 to 2592000"),
        (lambda at: wish(life="soon"), "--leaf-life 'soon' is no duration"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(files, options, words):
    with pytest.raises(CliError, match=words):
        options(files).words()
