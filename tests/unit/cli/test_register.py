"""What `register` and `aws env` refuse, with what would be right."""

import json

import pytest

from tsunagu.aws.signatures import keys
from tsunagu.cli.commands.names import register
from tsunagu.cli.errors import CliError
from tsunagu.cli.local import aws_endpoint
from tsunagu.settings import Home


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1:5432", ("10.0.0.1", 5432)), ("localhost:80", ("127.0.0.1", 80))],
)
def test_an_address_has_a_port(text, address):
    assert register._address(text) == address


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:http", "5432"])
def test_what_is_no_address_and_port_is_refused(text):
    with pytest.raises(CliError, match="is no ADDRESS:PORT"):
        register._address(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("4577", ("127.0.0.1", 4577)),
        ("0.0.0.0:4577", ("0.0.0.0", 4577)),
        ("[::1]:4577", ("::1", 4577)),
        ("0", ("127.0.0.1", 0)),
    ],
)
def test_the_endpoint_listens_on_loopback_unless_told_otherwise(text, at):
    assert aws_endpoint.parse(text) == at


@pytest.mark.parametrize("text", ["", "http", "65536", "127.0.0.1:"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(CliError, match="is no port"):
        aws_endpoint.parse(text)


def test_without_its_packages_the_endpoint_is_refused_with_the_extra_that_has_them(monkeypatch):
    monkeypatch.setattr(aws_endpoint, "find_spec", lambda name: None if name == "cbor2" else name)
    with pytest.raises(CliError, match="needs cbor2") as refused:
        aws_endpoint.parse("4577")
    assert "tsunagu[aws]" in refused.value.right


def test_a_mesh_without_an_endpoint_says_how_it_gets_one(tmp_path):
    with pytest.raises(CliError, match="has no endpoint") as refused:
        aws_endpoint.find(Home(tmp_path))
    assert "--aws PORT" in refused.value.right


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://tsunagu@127.0.0.1:4577"), ("::1", "http://tsunagu@[::1]:4577")]
)
def test_the_url_has_a_name_before_the_host(tmp_path, host, url):
    home = Home(tmp_path)
    home.aws_endpoint.write_text(json.dumps({"host": host, "port": 4577}))
    pair = keys.load(home.aws_keys)
    found = aws_endpoint.find(home)
    assert (found.url, found.pair) == (url, pair)


@pytest.mark.parametrize(
    ("host", "ip", "refused"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.9", True),
        ("0.0.0.0", "192.168.1.2", True),
        ("127.0.0.1", "10.0.0.1", False),
    ],
)
def test_the_endpoint_itself_is_not_registered(tmp_path, host, ip, refused):
    home = Home(tmp_path)
    aws_endpoint.refuse(home, ip, 4577)  # a mesh without one
    home.aws_endpoint.write_text(json.dumps({"host": host, "port": 4577}))
    aws_endpoint.refuse(home, ip, 4578)
    if refused:
        with pytest.raises(CliError, match="is this mesh's endpoint for AWS's APIs, which no task may call"):
            aws_endpoint.refuse(home, ip, 4577)
    else:
        aws_endpoint.refuse(home, ip, 4577)
