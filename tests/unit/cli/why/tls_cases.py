"""Faults of the handshake between two proxies, one example of each rule as facts, as `cases` has the others."""

from dataclasses import replace

from tests.unit.cli.why.cases import API, DB, Case, envoys_own, held, nobody, task, unserved, well
from tsunagu.cli.why.facts import Answer, Certificate, Host, Identity
from tsunagu.cli.why.verdict import Sure

_DAY = 86400.0
_TLS_PORT = 15400
_PEER = "spiffe://tsunagu.local/ns/shop/cluster/default/service/{}"
_CUT = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
_AWAY = "the control plane does not answer"


def certificate(service="web", serial="a1", left=_DAY):
    return Certificate(serial, (_PEER.format(service),), left)


def identity(service="web", shown=None, **more):
    return Identity(f"{service}-1", **{"given": "a1", "shown": shown or certificate(service), **more})


def secured(alias=API, caller=None, server=None, hosts=None, peers=None, counted=None, **more):
    """A call by TLS to one task, that fails."""
    serves = replace(task(alias=alias), port=_TLS_PORT, tls=True, plain_port=alias.container_port)
    meant = (_PEER.format(alias.service),)
    known = {
        "providers": (serves,),
        "held": held(
            alias,
            hosts=hosts or (Host(serves.address),),
            peers=meant if peers is None else peers,
            counted=counted or {},
        ),
        "identities": (caller or identity(), server or identity(alias.service)),
        "answer": envoys_own(503, _CUT) if alias.is_http else Answer(ended="closed"),
    }
    return well(alias, **{**known, **more})


def without(service, problem=""):
    return Identity(f"{service}-1", given="", problem=problem)


CASES = (
    Case("not-a-member", "plaintext to a port that takes TLS alone, at an address", nobody("10.88.0.9:8080", addresses={"10.88.0.9": "api-1"}, tls_alone=("10.88.0.9:8080",))),
    Case("tls-not-ready", "a task that is to take TLS alone, and has no certificate yet", unserved(task(status="ACTIVATING", serving=False, waits_for="for TLS: it has no identity yet"))),
    Case("identity-missing", "a caller without a certificate", secured(caller=without("web", _AWAY))),
    Case("identity-missing", "a server without a certificate", secured(server=without("api"))),
    Case("identity-expired", "a caller whose certificate could not be renewed in time", secured(caller=identity(shown=certificate(left=-90), problem=_AWAY))),
    Case("identity-expired", "a caller whose certificate has expired, to a tcp port", secured(DB, caller=identity(shown=certificate(left=-90)))),
    Case("identity-expired", "a server whose certificate has expired", secured(server=identity("api", certificate("api", left=-90)), counted={"ssl.fail_verify_error": 3})),
    Case("identity-foreign", "a caller with a certificate of an authority of somebody else", secured(caller=identity(shown=certificate(serial="bad"))), Sure.LIKELY),
    Case("identity-foreign", "a caller whose authority is not in force any more", secured(caller=identity(trusted=False)), Sure.LIKELY),
    Case("identity-foreign", "a server with a certificate of an authority of somebody else", secured(server=identity("api", certificate("api", "bad")), counted={"ssl.fail_verify_error": 3}), Sure.LIKELY),
    Case("server-identity", "a server that proves to be another", secured(peers=(_PEER.format("other"),), counted={"ssl.fail_verify_san": 3})),
    Case("server-identity", "a server that proves to be another, and whose Envoy was not seen", secured(identities=(identity(),), counted={"ssl.fail_verify_san": 3}), Sure.LIKELY),
    Case("server-untrusted", "a caller's Envoy that trusts another authority", secured(counted={"ssl.fail_verify_error": 3})),
    Case("tls-to-plaintext", "TLS to a plaintext port", secured(hosts=(Host("10.88.0.1:8080"),), counted={"upstream_cx_connect_fail": 3}), Sure.LIKELY),
    Case("plaintext-to-tls", "plaintext to a TLS port", secured(peers=())),
)  # fmt: skip

__all__ = ["CASES", "certificate", "identity", "secured"]
