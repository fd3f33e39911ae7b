"""The scenario of the golden file that is about AccessPolicies."""

from tests.golden.traffic import written
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.v1 import identities_pb2

#: A certificate authority of nobody.
AUTHORITY = """-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUPCXExNhOvkihbiQjrILSlZXiKgwwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNjEyNTgwM1oYDzIxMjYxMTAyMTI1
ODAzWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AARmgmriwYfQSpYk8lWTKRrEjLQTcwtSA/NzL6cEV+DUzO6bigv6COxGbbSuCFK1
mKa22KwFI/XuEQolN3Pv18zyo1MwUTAdBgNVHQ4EFgQUhuXhA9gy86M4lPv99+54
XYZk7YAwHwYDVR0jBBgwFoAUhuXhA9gy86M4lPv99+54XYZk7YAwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBALmwD0psw4HiKTflGA7bCH4lSdAG3
NpEExWazOkfPrAIhAIN5tggBFwZi/0bpAkGtj5WczdU0tGfg1bm5b5V3f1VZ
-----END CERTIFICATE-----
"""


def trusted():
    """The trust bundle."""
    made = identities_pb2.TrustBundle(trust_domain="tsunagu.local")
    made.authorities.add(certificate=AUTHORITY)
    return ids.make("TrustBundle", "default", made)


def access():
    """Who may call whom: an http port with methods and paths and an audited policy, a gRPC port, a tcp port, one that nobody may call."""
    yield o.node()
    yield trusted()
    yield from written("{kind: Namespace, name: shop, tls: strict}")
    names = {"web": "http", "rpc": "grpc", "db": "tcp", "old": "tcp"}
    ports = [
        o.port(name, app_protocol=protocol, container_port=8000 + index, ingress_port=15100 + index)
        for index, (name, protocol) in enumerate(names.items())
    ]
    yield o.service("default/orders", "a1")
    yield o.revision("default/orders/a1", *ports)
    yield o.service("default/free", "b1")
    yield o.revision("default/free/b1", o.port("free"))
    yield from written(POLICIES)


POLICIES = """
kind: AccessPolicy
name: shop/web
to: {service: orders, ports: [web]}
allow:
- from: [{service: cart}, {service: batch/nightly, namespace: back}]
  requests: [{method: GET, prefix: /orders}, {method: POST, path: /orders}]
- from: [{gateway: front}, {hosts: true}, {everybody: true, namespace: back}]
  requests: [{path: /health}]
---
kind: AccessPolicy
name: shop/looked-at
mode: audit
to: {service: orders, ports: [web, db]}
allow:
- from: [{anyone: true}]
---
kind: AccessPolicy
name: shop/rpc
to: {service: orders, ports: [rpc]}
allow:
- from: [{family: job}]
  requests: [{serviceName: shop.Orders, methodName: Place}, {serviceName: shop.Search}]
---
kind: AccessPolicy
name: shop/db
to: {service: orders, ports: [db]}
allow:
- from: [{service: cart}]
---
kind: AccessPolicy
name: shop/nobody
to: {service: orders, ports: [old]}
"""
