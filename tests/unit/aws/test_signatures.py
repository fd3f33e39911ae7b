"""Signatures are verified against botocore's own signer; whatever a thief could change is refused."""

import calendar
import stat

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.aws.cloud import PAIR
from tsunagu.aws.errors import AwsError
from tsunagu.aws.signatures import keys
from tsunagu.aws.signatures.verify import verify
from tsunagu.kit.http_server import Request

BODY = b'{"Name": "shop"}'
TARGET = "Route53AutoNaming_v20170314.ListNamespaces"


def signed(pair=PAIR, target="/", body=BODY, service="servicediscovery", **headers):
    """A request as botocore signs it now."""
    whole = AWSRequest("POST", f"http://127.0.0.1:4577{target}", {"X-Amz-Target": TARGET, **headers}, body)
    SigV4Auth(Credentials(pair.access_key_id, pair.secret_access_key), service, "eu-west-1").add_auth(whole)
    given = {"host": "127.0.0.1:4577", **{name.lower(): value for name, value in whole.headers.items()}}
    return Request("POST", target, list(given.items()), body)


def time_of(request):
    text = request.header("x-amz-date")
    parts = (text[:4], text[4:6], text[6:8], text[9:11], text[11:13], text[13:15])
    return float(calendar.timegm((*map(int, parts), 0, 0, 0)))


def changed(request, **headers):
    """The request with other headers (a name has `_` for `-`); None takes one away."""
    rest = {**dict(request.headers), **{name.replace("_", "-"): value for name, value in headers.items()}}
    kept = [(name, value) for name, value in rest.items() if value is not None]
    return Request(request.method, request.target, kept, request.body)


def code_of(request, now=None, pair=PAIR):
    with pytest.raises(AwsError) as refused:
        verify(request, pair, time_of(request) if now is None else now)
    return refused.value.code


def test_what_botocore_signs_is_valid_and_tells_region_and_service():
    request = signed()
    scope = verify(request, PAIR, time_of(request))
    assert (scope.access_key_id, scope.region, scope.service) == (PAIR.access_key_id, "eu-west-1", "servicediscovery")


@given(
    st.text("abc-_.~ %/", max_size=12),
    st.dictionaries(st.text("ab+ %&=é", min_size=1, max_size=5), st.text("ab+ %&=é", max_size=5), max_size=3),
)
def test_paths_and_queries_are_read_as_botocore_reads_them(path, query):
    from urllib.parse import quote, urlencode

    target = "/service/" + quote(path.replace("/", "").replace(".", "")) + ("?" + urlencode(query) if query else "")
    request = signed(target=target)
    assert verify(request, PAIR, time_of(request)).region == "eu-west-1"


def test_another_key_is_none_of_ours():
    assert code_of(signed(keys.KeyPair("AKIAOTHER", PAIR.secret_access_key))) == "UnrecognizedClientException"
    assert code_of(signed(keys.KeyPair(PAIR.access_key_id, "guessed"))) == "InvalidSignatureException"


def test_who_has_no_key_is_told_that_one_is_needed():
    assert code_of(changed(signed(), authorization=None), 0.0) == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    "header",
    ["Basic YTpi", "AWS4-HMAC-SHA256 Credential=a", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=x, Signature=y"],
)
def test_a_header_that_is_no_signature_is_incomplete(header):
    assert code_of(changed(signed(), authorization=header)) == "IncompleteSignatureException"


def test_whatever_is_changed_on_the_way_is_noticed():
    request = signed()
    for other in (
        Request("GET", request.target, request.headers, request.body),
        Request("POST", "/?a=b", request.headers, request.body),
        Request("POST", request.target, request.headers, BODY + b" "),
        changed(request, host="127.0.0.1:1"),
        changed(request, x_amz_target="Route53AutoNaming_v20170314.DeleteNamespace"),
    ):
        assert code_of(other) == "InvalidSignatureException"


def test_what_a_request_does_must_be_signed():
    late = changed(signed(), x_amz_content_sha256="0" * 64)
    assert code_of(late) == "InvalidSignatureException"
    parts = dict(signed().headers)
    unsigned = parts["authorization"].replace("x-amz-target", "x-amz-targ")
    assert code_of(changed(signed(), authorization=unsigned)) == "InvalidSignatureException"


def test_a_hash_of_the_body_is_held_against_the_body():
    request = signed(**{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert code_of(request) == "InvalidSignatureException"


def test_a_request_is_for_five_minutes():
    request = signed()
    at = time_of(request)
    assert verify(request, PAIR, at + 299)
    assert verify(request, PAIR, at - 299)
    assert code_of(request, at + 301) == code_of(request, at - 301) == "InvalidSignatureException"


def test_the_day_is_that_of_the_scope():
    assert code_of(changed(signed(), x_amz_date="20200101T000000Z"), 1577836800.0) == "IncompleteSignatureException"


def test_a_session_token_is_not_ours():
    request = signed(**{"X-Amz-Security-Token": "of AWS"})
    assert code_of(request) == "UnrecognizedClientException"


def test_a_header_is_not_there_twice():
    request = signed()
    doubled = Request("POST", "/", [*request.headers, ("x-amz-date", request.header("x-amz-date"))], BODY)
    assert code_of(doubled, 0.0) != ""


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path):
    path = tmp_path / "keys.json"
    pair = keys.load(path)
    assert keys.load(path) == keys.read(path) == pair
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (len(pair.access_key_id), len(pair.secret_access_key)) == (20, 40)
    assert pair.secret_access_key not in repr(pair)


def test_keys_that_others_may_read_are_not_used(tmp_path):
    path = tmp_path / "keys.json"
    keys.load(path)
    path.chmod(0o644)
    with pytest.raises(keys.BadKeys, match="can be read by others"):
        keys.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '"a"'])
def test_a_file_that_is_no_key_pair_is_named(tmp_path, text):
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(keys.BadKeys, match="it is no key pair"):
        keys.read(path)
