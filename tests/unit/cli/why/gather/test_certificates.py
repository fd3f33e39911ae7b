"""The page of an Envoy's certificates: which of them its task proves its identity with."""

from tsunagu.cli.why.facts import Certificate, Held
from tsunagu.cli.why.gather.envoy_facts import certificate, grown

NOW = 1795701600.0  # 2026-11-26T14:00:00Z
WEB = "spiffe://tsunagu.local/ns/shop/cluster/default/service/web"


def entry(serial, begins="2026-11-26T13:00:00Z", ends="2026-11-26T14:01:30Z", uri=WEB):
    shown = {
        "serial_number": serial,
        "subject_alt_names": [{"uri": uri}],
        "valid_from": begins,
        "expiration_time": ends,
    }
    return {"ca_cert": [], "cert_chain": [shown]}


def test_its_serial_is_written_as_the_registry_writes_it():
    assert certificate({"certificates": [entry("0A1")]}, NOW) == Certificate("a1", (WEB,), 90.0)


def test_of_several_the_newest_is_meant():
    page = {"certificates": [entry("a1"), entry("a2", begins="2026-11-26T13:30:00Z"), entry("a1")]}
    assert certificate(page, NOW).serial == "a2"


def test_one_that_has_expired_has_less_than_no_time_left():
    assert certificate({"certificates": [entry("a1", ends="2026-11-26T13:59:00Z")]}, NOW).left == -60.0


def test_trust_alone_and_certificates_of_gateways_are_no_identity():
    page = {"certificates": [{"ca_cert": [{}], "cert_chain": []}, entry("b1", uri="https://shop.example")]}
    assert certificate(page, NOW) is None
    assert certificate({}, NOW) is None


def test_what_one_call_has_counted():
    before, after = Held(stats={"ssl.handshake": 3}), Held(stats={"ssl.handshake": 4, "ssl.fail_verify_san": 1})
    assert grown(before, after).counted == {"ssl.handshake": 1, "ssl.fail_verify_san": 1}
