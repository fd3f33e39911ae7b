"""What validating costs: as many steps for each service, whether there are a hundred or a thousand."""

import sys

from tsunagu.model.manifests.formats import Source, read_all
from tsunagu.model.plan import plan

SERVICE = """
kind: TaskDefinition
family: s{0}
requiresCompatibilities: [FARGATE]
cpu: "256"
memory: "512"
containerDefinitions:
- name: app
  image: app:{0}
  command: [sleep, "60"]
  portMappings: [{{name: http, containerPort: 80, appProtocol: http}}]
---
kind: Service
serviceName: s{0}
taskDefinition: s{0}
desiredCount: 1
launchType: FARGATE
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, discoveryName: s{0}, clientAliases: [{{port: 80, dnsName: s{0}}}]}}]
---
kind: Image
name: i{0}
pattern: "app:{0}"
command: [sleep, "1"]
---
"""


def steps(services: int) -> int:
    """How many functions are called to read, plan and validate so many services."""
    source = Source("shop.yaml", "".join(SERVICE.format(number) for number in range(services)))
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        reading = read_all([source])
        made = plan(reading.documents, {}, folders={"shop.yaml": "/shop"})
    finally:
        sys.setprofile(None)
    assert not made.issues
    assert len(made.changes) > 3 * services
    return count


def test_a_service_costs_the_same_whatever_their_number():
    few, many = steps(40), steps(160)
    assert many < 4.4 * few
