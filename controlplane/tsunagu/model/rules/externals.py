"""What an External must be to be kept: its place, its addresses, its TLS.

The one rule: as in ``traffic``: what could have no effect is refused, and the message says what would have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.outside import external, pem
from tsunagu.model.rules.constraints import issue
from tsunagu.model.rules.names import taken
from tsunagu.model.rules.traffic import namespace_exists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject


def place(subject: Subject) -> Iterator[Issue]:
    """Its discovery name and its aliases are nobody else's."""
    namespace, _, name = subject.name.partition("/")
    owners = [one for one in subject.indexes.discovery_names[namespace, name] if one != subject.name]
    if owners:
        yield issue("name", f"{name!r} is already the discoveryName of {owners[0]}", "choose another name")
    for dns_name, port in external.aliases(subject.name, subject.obj.external):
        if why := taken(dns_name, subject):
            yield issue("aliases", f"{dns_name!r} {why}", "choose another dnsName")
        others = [one for one in subject.indexes.aliases[namespace, dns_name, str(port)] if one != subject.name]
        if others:
            yield issue(
                "aliases", f"{dns_name}:{port} is already an alias of {others[0]}", "choose another dnsName or port"
            )


def addresses(subject: Subject) -> Iterator[Issue]:
    """Each address can be called, and there is an alias at which apps call."""
    body = subject.obj.external
    for index, text in enumerate(body.addresses):
        try:
            external.address(text)
        except ValueError as error:
            yield issue(f"addresses[{index}]", str(error), did_you_mean(text.rpartition(":")[0], (external.HOST,)))
    ports = {one.port for one in external.addresses(body)}
    if len(ports) > 1 and not external.aliases(subject.name, body):
        yield issue("aliases", "are missing: the addresses have several ports", "write [{dnsName: NAME, port: PORT}]")
    yield from _circles(subject)


def _circles(subject: Subject) -> Iterator[Issue]:
    """A DNS name that is an alias of the namespace leads back into the mesh: tasks find it in their /etc/hosts."""
    namespace = subject.name.partition("/")[0]
    for index, text in enumerate(subject.obj.external.addresses):
        host = text.rpartition(":")[0].lower()
        if (namespace, host) in subject.indexes.dns_names:
            reason = f"{host} is an alias of namespace {namespace}: the call would come back"
            yield issue(f"addresses[{index}]", reason, "give the alias another dnsName")


def timeouts(subject: Subject) -> Iterator[Issue]:
    body = subject.obj.external
    if external.protocol(body) == "tcp" and body.HasField("timeout"):
        yield issue("timeout", "has no effect: tcp has no requests", "leave it out, or say appProtocol: http")


def tls(subject: Subject) -> Iterator[Issue]:
    """A certificate can be verified: it is said which names it has, and who may have signed it."""
    body = subject.obj.external
    if not body.HasField("tls"):
        return
    if not external.certificate_names(body) and any(one.is_ip for one in external.addresses(body)):
        yield issue("tls", "serverName is missing: an IP address says no name that the certificate must have")
    if body.tls.ca_file and not body.tls.ca_certificates:
        yield issue(
            "tls.caFile", f"{body.tls.ca_file} was not read: only `tsunagu apply` reads files", "write caCertificates"
        )
    elif body.tls.ca_certificates and (why := pem.fault(body.tls.ca_certificates)):
        yield issue("tls.caFile" if body.tls.ca_file else "tls.caCertificates", why)


RULES: Final = (namespace_exists, place, addresses, timeouts, tls)
