"""What Cloud Map's objects mean: their IDs, what an instance's attributes say, whether it is healthy, where it is reached.

The one rule: an ID that no request has made follows from the object's name, so that everybody who needs one computes the same.

Sources: AWS Cloud Map API Reference, RegisterInstance (reserved attributes), CreateService (DnsRecord, HealthCheckCustomConfig).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Final

from tsunagu.model import ids, references
from tsunagu.model.statuses import HealthStatus
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.model.references import State
    from tsunagu.v1 import ecs_pb2

HTTP, DNS_PRIVATE, DNS_PUBLIC = "HTTP", "DNS_PRIVATE", "DNS_PUBLIC"
IPV4, IPV6, PORT = "AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_PORT"
CNAME, ALIAS, EC2 = "AWS_INSTANCE_CNAME", "AWS_ALIAS_DNS_NAME", "AWS_EC2_INSTANCE_ID"
INIT_HEALTH: Final = "AWS_INIT_HEALTH_STATUS"
#: Attributes with a meaning of AWS's; they do not count as custom ones.
RESERVED: Final = frozenset({IPV4, IPV6, PORT, CNAME, ALIAS, EC2, INIT_HEALTH})
#: Tasks reach this machine's 127.0.0.x at 169.254.88.x: a task's own loopback is itself. The node agent relays.
_HOST_NETWORK: Final = int(IPv4Address("169.254.88.0"))
_HOST_PREFIX: Final = "169.254.88."
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_DIGITS: Final = 16
_LOOPBACK: Final = 127
_LAST_OCTET: Final = 255
_MDNS: Final = "local"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an instance answers: an IPv4 address and a port, as this machine sees them."""

    ip: str
    port: int

    @property
    def from_tasks(self) -> str:
        """The IP at which tasks reach it, with the same port: 127.0.0.N of this machine is 169.254.88.N for them."""
        first, second, third, last = self.ip.split(".")
        return f"{_HOST_PREFIX}{last}" if (first, second, third) == ("127", "0", "0") else self.ip


def short_id(prefix: str, text: str) -> str:
    """Return an ID like AWS's: ``ns-`` or ``srv-`` and 16 digits and letters that follow from the text."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits = []
    for _ in range(_ID_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return prefix + "".join(digits)


def namespace_id(obj: objects_pb2.Object) -> str:
    """Return a Namespace's ID: its own, that of its ARN, or what follows from its name."""
    body = obj.namespace
    return body.id or body.arn.rpartition("/")[2] or short_id("ns-", obj.meta.name)


def service_id(obj: objects_pb2.Object) -> str:
    """Return a CloudMapService's ID: its own, that of its ARN, or what follows from its name."""
    body = obj.cloud_map_service
    return body.id or body.arn.rpartition("/")[2] or offered_service_id(obj.meta.name)


def offered_service_id(name: str) -> str:
    """Return the ID of the service NAMESPACE/NAME of Cloud Map, if nothing has given it another."""
    return short_id("srv-", name)


def service_named(registry_arn: str, state: State) -> str:
    """Return the name (NAMESPACE/NAME) of the CloudMapService that an ARN, an ID or a name means; empty if there is none."""
    services = references.objects(state, "CloudMapService")
    tail = ids.arn_tail(registry_arn, "service")
    if tail in services:
        return tail
    for name, obj in services.items():
        if obj.cloud_map_service.arn == registry_arn or service_id(obj) == tail:
            return name
    return ""


def is_healthy(instance: objects_pb2.CloudMapInstance) -> bool:
    """Whether an instance counts as healthy: its custom status, else the one that it was registered with, else it does.

    With a HealthCheckConfig too: here is no checker of Route 53's.
    """
    status = instance.custom_health_status or instance.attributes.get(INIT_HEALTH, "")
    return status != HealthStatus.UNHEALTHY


def address_of(attributes: Mapping[str, str]) -> Address | None:
    """Return the address of an instance that tasks can be led to; None when its attributes name none."""
    ip, port = attributes.get(IPV4, ""), attributes.get(PORT, "")
    if not ip or not port.isdecimal():
        return None
    return Address(ip, int(port))


def aliases(service: objects_pb2.Object, ports: Iterable[int]) -> tuple[tuple[str, int], ...]:
    """Return (DNS name, port) of where tasks reach the instances of a CloudMapService: its own aliases, or NAME and NAME.NAMESPACE at
    each of the instances' `ports`.
    """
    own = service.cloud_map_service.aliases
    return tuple((alias.dns_name, alias.port) for alias in own) or implied_aliases(service.meta.name, ports)


def implied_aliases(name: str, ports: Iterable[int]) -> tuple[tuple[str, int], ...]:
    """Return where tasks reach the instances of a service (NAMESPACE/NAME) that has no aliases of its own: NAME and NAME.NAMESPACE, at each
    of the instances' ports.
    """
    namespace, _, called = name.lower().partition("/")
    return tuple((dns_name, port) for port in sorted(set(ports)) for dns_name in (called, f"{called}.{namespace}"))


def unreachable(ip: str) -> str:
    """Say why tasks cannot be led to an IPv4 address; empty when they can be."""
    try:
        address = IPv4Address(ip)
    except AddressValueError:
        return f"{ip!r} is not an IPv4 address"
    if address.is_loopback and int(address) >> 8 != _LOOPBACK << 16:
        return f"of this machine's loopback, tasks reach 127.0.0.1 to 127.0.0.255, not {ip}"
    if int(address) & ~_LAST_OCTET == _HOST_NETWORK:
        return f"{ip} is one of the addresses at which tasks reach this machine's loopback: register 127.0.0.N"
    if address.is_multicast or address.is_unspecified:
        return f"{ip} is the address of no machine"
    return ""


def registrations(
    spec: ecs_pb2.CreateServiceRequest, definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State
) -> list[objects_pb2.Registration]:
    """Return where an ECS service's tasks are registered, by its serviceRegistries.

    An ARN that no CloudMapService has is no error: files that are used with AWS name services that were made there. Their tasks run
    here all the same, and get no DNS name.
    """
    found = []
    for registry in spec.service_registries:
        if name := service_named(registry.registry_arn, state):
            port = registry.port or registry.container_port or _only_port(definition)
            found.append(objects_pb2.Registration(cloud_map_service=name, port=port))
    return found


def _only_port(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> int:
    """Return the task's port if it has one only: its AWS_INSTANCE_PORT where the service names none."""
    ports = {mapping.container_port for _, _, _, mapping in references.port_mappings(definition)} - {0}
    return ports.pop() if len(ports) == 1 else 0


def record_types(registry_arn: str, state: State) -> frozenset[str]:
    """Return the types of record of the CloudMapService that an ARN means."""
    obj = references.objects(state, "CloudMapService").get(service_named(registry_arn, state))
    config = obj.cloud_map_service.dns_config if obj else objects_pb2.CloudMapDnsConfig()
    return frozenset(record.type for record in config.dns_records)


def is_dns(namespace: str, state: State) -> bool:
    """Return whether a namespace has DNS."""
    obj = references.objects(state, "Namespace").get(namespace)
    return obj is not None and obj.namespace.type in (DNS_PRIVATE, DNS_PUBLIC)


def is_of_mdns(name: str) -> bool:
    """Return whether a domain lies in `.local`, which many machines ask for by multicast DNS and never at a name server."""
    return name.lower().rstrip(".").rpartition(".")[2] == _MDNS


def as_registered(ip: str) -> str:
    """Return the address that was registered for an instance, from the one at which tasks reach it."""
    return f"127.0.0.{ip.removeprefix(_HOST_PREFIX)}" if ip.startswith(_HOST_PREFIX) else ip
