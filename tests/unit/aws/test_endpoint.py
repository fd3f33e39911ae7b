"""The endpoint refuses who may not speak with it before anything else, and answers every fault in the protocol of the request."""

import asyncio
import json

import cbor2
import pytest

from tests.unit.aws.cloud import PAIR, Cloud
from tests.unit.aws.test_signatures import signed
from tsunagu.aws import guard
from tsunagu.aws.errors import AwsError
from tsunagu.aws.signatures.keys import KeyPair
from tsunagu.kit import http
from tsunagu.kit.http_server import Request

JSON = {"content-type": "application/x-amz-json-1.1"}
CBOR = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
PATH = "/service/Route53AutoNaming_v20170314/operation/"


@pytest.fixture(scope="module")
def cloud():
    with Cloud() as running:
        yield running


def call(cloud, request, **headers):
    """Status and body of the answer to a request that was signed for another address, so it is signed anew unless told."""
    given = {**dict(request.headers), **headers}
    host = given.pop("host")
    given.pop("content-length", None)
    asked = http.Request(request.target, request.method, host, given, request.body)
    answer = asyncio.run(http.ask(("127.0.0.1", cloud.port), asked))
    body = cbor2.loads(answer.body) if answer.headers["content-type"] == "application/cbor" else answer.json()
    return answer.status, body


def ask(cloud, target="/", body=b"{}", operation="ListNamespaces", pair=PAIR, service="servicediscovery", **headers):
    """As `call`, signed for this endpoint. `headers` are signed, too."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    named = {"X-Amz-Target": f"Route53AutoNaming_v20170314.{operation}"} if target == "/" else {}
    whole = AWSRequest("POST", f"http://127.0.0.1:{cloud.port}{target}", {**named, **headers}, body)
    SigV4Auth(Credentials(pair.access_key_id, pair.secret_access_key), service, "us-east-1").add_auth(whole)
    given = [("host", f"127.0.0.1:{cloud.port}"), *((name.lower(), value) for name, value in whole.headers.items())]
    return call(cloud, Request("POST", target, given, body))


def test_a_signed_request_is_answered(cloud):
    assert ask(cloud, **JSON) == (200, {"Namespaces": []})
    assert ask(cloud, PATH + "ListNamespaces", b"", **CBOR) == (200, {"Namespaces": []})


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:4577", ""])
def test_a_web_page_is_refused_whatever_else_it_sends(cloud, origin):
    status, body = ask(cloud, **JSON, origin=origin)
    assert (status, body["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "data-evil:{port}", ""]
)
def test_who_was_led_here_by_a_name_is_refused(cloud, host):
    request = signed(**JSON)
    headers = [("host", host.format(port=cloud.port)), *(pair for pair in request.headers if pair[0] != "host")]
    status, body = call(cloud, Request("POST", "/", headers, request.body))
    assert (status, body["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "data-localhost", "data-127.0.0.1", "[::1]", "aws.localhost", "10.0.0.7"]
)
def test_names_of_this_endpoint_are_let_in(host):
    guard.check(Request("POST", "/", [("host", f"{host}:4577")]), "10.0.0.7", 4577)


def test_a_host_that_is_there_twice_is_refused():
    with pytest.raises(AwsError):
        guard.check(Request("POST", "/", [("host", "localhost:1"), ("host", "localhost:1")]), "127.0.0.1", 1)


def test_without_the_key_nothing_is_told(cloud):
    request = http.Request("/", "POST", f"127.0.0.1:{cloud.port}", {**JSON, "x-amz-target": "X.Y"}, b"{}")
    answer = asyncio.run(http.ask(("127.0.0.1", cloud.port), request))
    assert (answer.status, answer.json()["__type"]) == (403, "MissingAuthenticationTokenException")
    status, body = ask(cloud, pair=KeyPair(PAIR.access_key_id, "guessed"), **JSON)
    assert (status, body["__type"]) == (403, "InvalidSignatureException")
    status, body = ask(cloud, pair=KeyPair(PAIR.access_key_id, "guessed"), target=PATH + "ListNamespaces", **CBOR)
    assert (status, body["__type"]) == (403, "InvalidSignatureException")


def test_a_signature_is_for_one_service(cloud):
    status, body = ask(cloud, service="ecs", **JSON)
    assert (status, body["__type"]) == (403, "InvalidSignatureException")
    assert "servicediscovery" in body["message"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"operation": "Nothing", **JSON}, "UnknownOperationException"),
        ({"target": "/elsewhere", **JSON}, "UnknownOperationException"),
        ({"target": "/service/X/operation/Y", **CBOR}, "UnknownOperationException"),
        ({"body": b"{", **JSON}, "SerializationException"),
        ({"body": b"[" * 100_000, **JSON}, "SerializationException"),
        ({"body": b"[]", **JSON}, "SerializationException"),
        ({"body": b'{"MaxResults": "1"}', **JSON}, "SerializationException"),
        ({"content-type": "text/plain"}, "SerializationException"),
        ({"target": PATH + "ListNamespaces", "body": b"\xff", **CBOR}, "SerializationException"),
        ({"target": PATH + "ListNamespaces", "body": b"\x81" * 100_000, **CBOR}, "SerializationException"),
        ({"target": PATH + "ListNamespaces", "body": b"\x9b" + b"\xff" * 8, **CBOR}, "SerializationException"),
    ],
)
def test_what_cannot_be_read_is_refused(cloud, asked, code):
    status, body = ask(cloud, **asked)
    assert status in (400, 404)
    assert body["__type"].rpartition("#")[2] == code


@pytest.mark.parametrize(
    ("operation", "parameters", "said"),
    [
        ("ListNamespaces", {"MaxResults": 0}, "Value '0' at 'maxResults' failed to satisfy constraint"),
        ("CreateHttpNamespace", {}, "Value null at 'name' failed to satisfy constraint: Member must not be null"),
        ("CreateHttpNamespace", {"Name": "arn:x"}, "regular expression pattern"),
        ("CreateHttpNamespace", {"Name": "a", "Tags": [{"Key": "a"}]}, "at 'tags.1.member.value'"),
        ("CreateService", {"Name": "a", "Type": "DNS"}, "enum value set: [HTTP]"),
        ("ListNamespaces", {"MaxResults": 0, "NextToken": "x" * 5000}, "2 validation errors detected"),
    ],
)
def test_constraints_of_the_model_are_kept_in_both_protocols(cloud, operation, parameters, said):
    status, body = ask(cloud, body=json.dumps(parameters).encode(), operation=operation, **JSON)
    assert (status, body["__type"]) == (400, "InvalidInput")
    assert said in body["Message"]
    status, body = ask(cloud, PATH + operation, cbor2.dumps(parameters), **CBOR)
    assert (status, body["__type"]) == (400, "com.amazonaws.servicediscovery#InvalidInput")
    assert said in body["Message"]


def test_a_failure_of_ours_is_told_as_one_without_its_cause(cloud, monkeypatch):
    monkeypatch.setattr(cloud.world, "catalog", None)
    status, body = ask(cloud, **JSON)
    assert (status, body["__type"], body["message"]) == (500, "InternalFailure", "The request failed.")
