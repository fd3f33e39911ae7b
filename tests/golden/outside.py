"""Scenarios of the golden files that are about Externals."""

from tests.golden.traffic import written
from tsunagu.testing import objects as o

#: Signed by itself; its key is nowhere.
AUTHORITY = """-----BEGIN CERTIFICATE-----
MIIBjDCCATOgAwIBAgIUOQK5oMh42C8LV3gFhbdme5XEFpswCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQZ29sZGVuIGF1dGhvcml0eTAgFw0yNjExMjYxMjM2MjZaGA8y
MTI2MTEwMjEyMzYyNlowGzEZMBcGA1UEAwwQZ29sZGVuIGF1dGhvcml0eTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABNYF8xvletb4TUfuLZv8AThM8+8CBDSf2Xkp
KuUxJzCs0UeNaMdCmIKPfnheP16QbbCaoOrIzeNqLb6o3ZoTmBejUzBRMB0GA1Ud
DgQWBBTswWEgpup/P+bErxU40+f31nga8DAfBgNVHSMEGDAWgBTswWEgpup/P+bE
rxU40+f31nga8DAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAZr
AB/u6NlIPcJ7dBSfCzXwzYYICAFM5lYX+w67txwxAiAEn253bNozSWQQRya3gqAJ
bQwB2FBfx2kyGv6Q7Mj9Cg==
-----END CERTIFICATE-----
"""


def outside():
    """Services outside of the mesh: two databases at IP addresses, an API by its DNS name over TLS, gRPC with an authority of its own."""
    yield o.namespace()
    yield o.node()
    yield o.service("default/load", "c1")
    yield o.revision("default/load/c1")
    yield o.task("default/load-1", "default/load/c1", "10.9.0.5")
    yield from written(EXTERNALS.replace("AUTHORITY", AUTHORITY.replace("\n", "\n    ").strip()))
    for number, name in enumerate(("db", "payments", "rates"), 1):
        yield o.address(name, f"127.255.0.{number}")


EXTERNALS = """
kind: External
name: shop/db
addresses: [192.0.2.10:5432, 192.0.2.11:5432, host.tsunagu.internal:5433]
aliases: [{dnsName: db, port: 5432}]
---
kind: External
name: shop/payments
appProtocol: http
addresses: [api.payments.example:443, api2.payments.example:443]
tls: {}
---
kind: External
name: shop/rates
appProtocol: grpc
addresses: [192.0.2.20:8443]
timeout: {idleTimeoutSeconds: 60, perRequestTimeoutSeconds: 5}
tls:
  serverName: rates.example
  caCertificates: |
    AUTHORITY
---
kind: Route
name: shop/some
alias: payments
action: {weightedTargets: [{target: payments, weight: 9}, {target: rates, weight: 1}]}
---
kind: TrafficPolicy
name: shop/db
outlierDetection: {maxServerErrors: 2}
"""
