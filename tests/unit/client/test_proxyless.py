"""Which connected gRPC clients a change of TLS shuts out, as `apply` says it."""

import pytest

from tsunagu.client.proxyless import Client, stricter, warnings
from tsunagu.model.manifests import formats
from tsunagu.model.plan import plan

SERVICE = """
kind: TaskDefinition
family: rates
networkMode: awsvpc
containerDefinitions:
- name: app
  image: app
  command: [python3, app.py]
  portMappings:
  - {name: rpc, containerPort: 9000, appProtocol: grpc}
  - {name: more, containerPort: 9001, appProtocol: grpc}
---
kind: Service
serviceName: rates
taskDefinition: rates
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: bank
  services:
  - {portName: rpc, clientAliases: [{port: 50051, dnsName: rates}]%s}
  - {portName: more, clientAliases: [{port: 50052, dnsName: rates}]}
---
{kind: Namespace, name: bank%s}
"""
TLS = ", tls: {issuerCertificateAuthority: {}}"
CLIENTS = [
    Client("bank", "default/teller-1", frozenset({"rates:50051"})),
    Client("bank", "default/teller-1", frozenset({"rates:50052"})),
    Client("bank", "billing", frozenset({"rates:50052"})),
    Client("shop", "default/web-1", frozenset({"rates:50051"})),
    Client("bank", "default/idle-1", frozenset()),
]


def said(before, after, clients=CLIENTS):
    """What is said of an apply of the service and its namespace over others; each is (the port's TLS, the namespace's)."""
    state = {}
    for change in planned(SERVICE % before, {}).changes if before else ():
        state.setdefault(change.kind, {})[change.name] = change.object
    made = planned(SERVICE % after, state)
    for change in made.changes:
        state.setdefault(change.kind, {})[change.name] = change.object
    return list(warnings(stricter(made.changes, state), clients))


def planned(text, state):
    made = plan(formats.read([formats.Source("bank.yaml", text)]), state)
    made.raise_for_issues()
    return made


@pytest.mark.parametrize("before", [None, ("", ""), ("", ", tls: permissive")])
def test_a_namespace_that_becomes_strict_shuts_all_of_its_clients_out(before):
    (line,) = said(before, ("", ", tls: strict"))
    assert line == (
        "namespace bank takes TLS alone, and gRPC clients without a proxy have no identity, so the names that they call do not "
        "exist for them any more: billing (xds:///rates:50052), default/teller-1 (xds:///rates:50051, xds:///rates:50052); "
        "let a task call the alias without xds:///, so that its proxy calls, and a program outside call a Gateway"
    )


def test_a_port_that_gets_tls_shuts_those_out_that_call_it():
    (line,) = said(("", ""), (TLS, ""))
    assert line.startswith("service default/rates takes TLS alone, ")
    assert "any more: default/teller-1 (xds:///rates:50051); let" in line


@pytest.mark.parametrize(
    ("before", "after", "clients"),
    [
        (("", ", tls: strict"), ("", ", tls: strict"), CLIENTS),
        (("", ""), ("", ", tls: permissive"), CLIENTS),
        ((TLS, ""), (TLS, ""), CLIENTS),
        (("", ""), ("", ", tls: strict"), []),
        (("", ""), ("", ", tls: strict"), CLIENTS[3:]),
    ],
    ids=["it was strict", "permissive", "it had tls", "nobody calls", "nobody of the namespace"],
)
def test_else_nothing_is_said(before, after, clients):
    assert said(before, after, clients) == []


def test_many_are_counted():
    clients = [Client("bank", f"default/teller-{at}", frozenset({"rates:50051"})) for at in range(9)]
    (line,) = said(None, ("", ", tls: strict"), clients)
    assert "default/teller-4 (xds:///rates:50051) and 4 more; let" in line
