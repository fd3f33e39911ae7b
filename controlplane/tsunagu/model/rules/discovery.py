"""What services and instances of Cloud Map must be to be kept, whoever writes them: an API, a command, a manifest.

The one rule: as in ``services``; limits and combinations are AWS's (Cloud Map API Reference: CreateService, RegisterInstance,
DnsRecord, quotas), and a message says what would be right.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Final

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import cloud_map, ids
from tsunagu.model.rules.constraints import issue, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import objects_pb2

_LABEL = r"([a-zA-Z0-9_][a-zA-Z0-9-_]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_SERVICE_NAME: Final = re.compile(rf"(?=.{{1,127}}\Z){_LABEL}(\.{_LABEL})*")
_INSTANCE_ID: Final = re.compile(r"[0-9a-zA-Z_/:.@-]{1,64}")
_KEY: Final = re.compile(r"[!-~]{1,255}")
_VALUE: Final = re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")
_CUSTOM, _VALUE_LENGTH, _TOTAL = 30, 1024, 5000
_LAST_PORT: Final = 65535
_RECORDS: Final = ("A", "AAAA", "SRV", "CNAME")
_LONGEST_TTL: Final = 2147483647
#: The attribute that an instance needs for a record of its service.
_NEEDED: Final = {
    "A": cloud_map.IPV4,
    "AAAA": cloud_map.IPV6,
    "SRV": cloud_map.PORT,
    "CNAME": cloud_map.CNAME,
}
_HEALTH: Final = ("HEALTHY", "UNHEALTHY")
_ONE_OF: Final = {
    "type": ("", "HTTP", "DNS", "DNS_HTTP"),
    "app_protocol": ("", "tcp", "http", "http2", "grpc"),
}


def namespace_type(subject: Subject) -> Iterator[Issue]:
    """A namespace is one of AWS's three types; its type does not change."""
    kind = subject.obj.namespace.type
    known = (cloud_map.HTTP, cloud_map.DNS_PRIVATE, cloud_map.DNS_PUBLIC)
    if kind and kind not in known:
        yield issue("type", f"{kind!r} is no type of a namespace; it is {words(known)}", did_you_mean(kind, known))


def service_place(subject: Subject) -> Iterator[Issue]:
    """A service is in a namespace that exists, under a name that nothing in it has."""
    namespace, _, name = subject.name.partition("/")
    known = subject.indexes.objects("Namespace")
    if namespace not in known:
        yield issue("name", f"there is no namespace {namespace!r}", did_you_mean(namespace, known))
    if not _SERVICE_NAME.fullmatch(name):
        yield issue(
            "name", f"{name!r} is not valid", "it must be labels of letters, digits, '_' and '-', with dots between"
        )
    taken = [one for one in subject.indexes.discovery_names[namespace, name] if one != subject.name]
    if taken:
        yield issue("name", f"{name!r} is already the discoveryName of service {taken[0]}", "choose another name")


def service_words(subject: Subject) -> Iterator[Issue]:
    """Fields that hold one of a few words do so; aliases have a name and a port."""
    body = subject.obj.cloud_map_service
    for field, known in _ONE_OF.items():
        if (text := getattr(body, field)) not in known:
            shown = "appProtocol" if field == "app_protocol" else field
            yield issue(shown, f"{text!r} is not valid; it is {words(known[1:])}", did_you_mean(text, known[1:]))
    for index, alias in enumerate(body.aliases):
        if not alias.dns_name or not 0 < alias.port <= _LAST_PORT:
            yield issue(f"aliases[{index}]", "an alias has a dnsName and a port from 1 to 65535")


def service_records(subject: Subject) -> Iterator[Issue]:
    """DNS records go together as AWS has them: A, AAAA and SRV in any way, CNAME alone and WEIGHTED, without a health check."""
    body = subject.obj.cloud_map_service
    config = body.dns_config
    kinds = [record.type for record in config.dns_records]
    if config.routing_policy not in ("", "MULTIVALUE", "WEIGHTED"):
        yield issue("dnsConfig.routingPolicy", f"{config.routing_policy!r} is not valid; it is MULTIVALUE or WEIGHTED")
    for index, record in enumerate(config.dns_records):
        path = f"dnsConfig.dnsRecords[{index}]"
        if record.type not in _RECORDS:
            yield issue(f"{path}.type", f"{record.type!r} is not valid; it is {words(_RECORDS)}")
        if not 0 <= record.ttl <= _LONGEST_TTL:
            yield issue(f"{path}.ttl", f"{record.ttl} is not from 0 to {_LONGEST_TTL} seconds")
    if len(set(kinds)) < len(kinds):
        yield issue("dnsConfig.dnsRecords", "a type is there twice")
    if "CNAME" in kinds:
        yield from _cname(body, kinds)
    if body.HasField("health_check_config") and body.HasField("health_check_custom_config"):
        yield issue("healthCheckConfig", "there is a healthCheckCustomConfig too", "leave one of them out")


def _cname(body: objects_pb2.CloudMapService, kinds: list[str]) -> Iterator[Issue]:
    if len(kinds) > 1:
        yield issue("dnsConfig.dnsRecords", "beside a CNAME record there is no other")
    if body.dns_config.routing_policy != "WEIGHTED":
        yield issue("dnsConfig.routingPolicy", "a CNAME record needs WEIGHTED")
    if body.HasField("health_check_config"):
        yield issue(
            "healthCheckConfig", "instances with a CNAME record have no health check of Route 53", "leave it out"
        )


def instance_place(subject: Subject) -> Iterator[Issue]:
    """An instance belongs to a CloudMapService that exists."""
    service, instance_id = ids.cloud_map_service_of(subject.name)
    known = subject.indexes.objects("CloudMapService")
    if service not in known:
        yield issue("name", f"there is no CloudMapService {service!r}", did_you_mean(service, known))
    if not _INSTANCE_ID.fullmatch(instance_id):
        yield issue("name", f"{instance_id!r} is not valid", "an ID has 1 to 64 letters, digits and any of _/:.@-")


def instance_attributes(subject: Subject) -> Iterator[Issue]:
    """Attributes are within AWS's limits; those that AWS reserves have values of their kind."""
    attributes = subject.obj.cloud_map_instance.attributes
    custom = [key for key in attributes if key not in cloud_map.RESERVED]
    if len(custom) > _CUSTOM:
        yield issue("attributes", f"there are {len(custom)} custom attributes; {_CUSTOM} are allowed")
    if (total := sum(len(key) + len(value) for key, value in attributes.items())) > _TOTAL:
        yield issue("attributes", f"keys and values have {total} characters together; {_TOTAL} are allowed")
    for key, value in sorted(attributes.items()):
        if not _KEY.fullmatch(key):
            yield issue("attributes", f"the key {key!r} is not valid", "1 to 255 visible ASCII characters")
        elif len(value) > _VALUE_LENGTH or not _VALUE.fullmatch(value):
            yield issue(f"attributes.{key}", "is not valid", "up to 1024 ASCII characters, no space at either end")
    yield from _reserved(dict(attributes))


def _reserved(attributes: dict[str, str]) -> Iterator[Issue]:
    """What is wrong with the values of AWS's own attributes."""
    if (ip := attributes.get(cloud_map.IPV4)) and (why := cloud_map.unreachable(ip)):
        yield issue(f"attributes.{cloud_map.IPV4}", why)
    if (ip := attributes.get(cloud_map.IPV6)) and not _is_ipv6(ip):
        yield issue(f"attributes.{cloud_map.IPV6}", f"{ip!r} is not an IPv6 address")
    port = attributes.get(cloud_map.PORT)
    if port is not None and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        yield issue(f"attributes.{cloud_map.PORT}", f"{port!r} is not a port from 1 to {_LAST_PORT}")
    health = attributes.get(cloud_map.INIT_HEALTH)
    if health is not None and health not in _HEALTH:
        yield issue(f"attributes.{cloud_map.INIT_HEALTH}", f"{health!r} is not valid; it is {words(_HEALTH)}")
    for refused in (cloud_map.ALIAS, cloud_map.EC2):
        if refused in attributes:
            yield issue(
                f"attributes.{refused}", "names something of AWS's, which is not here", f"give {cloud_map.IPV4}"
            )


def instance_records(subject: Subject) -> Iterator[Issue]:
    """In a DNS namespace an instance has what its service's records are made of."""
    service, _ = ids.cloud_map_service_of(subject.name)
    namespace = subject.indexes.objects("Namespace").get(service.partition("/")[0])
    owner = subject.indexes.objects("CloudMapService").get(service)
    if owner is None or namespace is None or namespace.namespace.type in ("", cloud_map.HTTP):
        return  # in an HTTP namespace records mean nothing
    attributes = subject.obj.cloud_map_instance.attributes
    kinds = [record.type for record in owner.cloud_map_service.dns_config.dns_records]
    for kind in kinds:
        if (needed := _NEEDED.get(kind)) and needed not in attributes and not _other_family(kind, kinds, attributes):
            yield issue("attributes", f"{needed} is missing: the service has {kind} records")


def _other_family(kind: str, kinds: list[str], attributes: object) -> bool:
    """Whether the instance has an address of the other family, of which the service has records too."""
    other = {"A": "AAAA", "AAAA": "A"}.get(kind, "")
    return other in kinds and _NEEDED[other] in attributes  # type: ignore[operator]


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


SERVICE_RULES: Final = (service_place, service_words, service_records)
INSTANCE_RULES: Final = (instance_place, instance_attributes, instance_records)
