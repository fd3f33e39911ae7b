"""SPIFFE IDs: by which name a task proves to others who it is.

The one rule: an ID follows from what the registry knows of a task, never from what the task says. Its path is made of pairs
(kind, name), so that a prefix that ends where a name ends stands for a whole namespace, cluster or service:

    spiffe://TRUSTDOMAIN/ns/NAMESPACE/cluster/CLUSTER/service/SERVICE     the tasks of a service
    spiffe://TRUSTDOMAIN/ns/NAMESPACE/cluster/CLUSTER/task/FAMILY         tasks of no service
    spiffe://TRUSTDOMAIN/ns/NAMESPACE/gateway/NAME                        a gateway
    spiffe://TRUSTDOMAIN/ns/NAMESPACE/host/NODE                           programs of a node's machine

Source: the SPIFFE standards, SPIFFE-ID, section 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tsunagu.v1 import objects_pb2

TRUST_DOMAIN: Final = "tsunagu.local"
"""The trust domain of a mesh that was given none."""
NO_NAMESPACE: Final = "-"
"""Stands in an ID for the namespace of a task that has none; no namespace has a name that begins so."""
_SCHEME: Final = "spiffe://"
_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT: Final = re.compile(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]+")
_LONGEST: Final = 2048  # bytes, section 2.3


class BadIdentity(ValueError):
    """The text is no SPIFFE ID, or cannot be a part of one. The message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A SPIFFE ID in its parts. `path` begins with a slash, or is empty."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"


def trust_domain(text: str) -> str:
    """Return the text if it is a trust domain. Raises BadIdentity."""
    if not _DOMAIN.fullmatch(text):
        raise BadIdentity(
            f"{text!r} is no trust domain: up to 255 lower-case letters, digits, '.', '-' and '_', as in {TRUST_DOMAIN}"
        )
    return text


def parse(text: str) -> Identity:
    """Return the parts of a SPIFFE ID. Raises BadIdentity."""
    if not text.startswith(_SCHEME) or len(text.encode()) > _LONGEST:
        raise BadIdentity(f"{text[:80]!r} is no SPIFFE ID: it is like {_SCHEME}{TRUST_DOMAIN}/ns/NAMESPACE/...")
    domain, slash, path = text.removeprefix(_SCHEME).partition("/")
    if slash and not all(map(_SEGMENT.fullmatch, path.split("/"))):
        raise BadIdentity(
            f"{text!r} is no SPIFFE ID: a part of its path is empty or has a character that is not allowed"
        )
    return Identity(trust_domain(domain), slash + path)


def of_service(domain: str, namespace: str, cluster: str, service: str) -> Identity:
    """Return the ID of a service's tasks. `namespace`: empty if it has none. Raises BadIdentity, as all of these."""
    return _made(domain, namespace, "cluster", cluster, "service", service)


def of_family(domain: str, namespace: str, cluster: str, family: str) -> Identity:
    """Return the ID of the tasks of a family that belong to no service."""
    return _made(domain, namespace, "cluster", cluster, "task", family)


def of_gateway(domain: str, namespace: str, gateway: str) -> Identity:
    """Return the ID of a gateway's proxy."""
    return _made(domain, namespace, "gateway", gateway)


def of_host(domain: str, namespace: str, node: str) -> Identity:
    """Return the ID of calls from the machine of a node into a namespace."""
    return _made(domain, namespace, "host", node)


def members(namespace: str) -> str:
    """Return the path below which all IDs of a namespace are. It ends with a slash."""
    return _made(TRUST_DOMAIN, namespace).path + "/"


def hosts(namespace: str) -> str:
    """Return the path below which the IDs of calls from machines into a namespace are. It ends with a slash."""
    return _made(TRUST_DOMAIN, namespace, "host").path + "/"


def of_task(domain: str, spec: objects_pb2.TaskSpec, family: str) -> Identity:
    """Return the ID of a task. `family`: of its task definition, which counts when it belongs to no service."""
    if spec.host:
        return of_host(domain, spec.namespace, spec.node)
    if spec.gateway:
        return of_gateway(domain, spec.namespace, spec.gateway)
    if spec.service:
        return of_service(domain, spec.namespace, spec.cluster, spec.service)
    return of_family(domain, spec.namespace, spec.cluster, family)


def admits(prefix: str, identity: str) -> bool:
    """Whether an ID is `prefix` or lies below it. Names end at a slash or at the end: `.../service/ord` admits no `orders`.

    `prefix` may end with a slash, which says the same. An empty one admits nobody.
    """
    stem = prefix.rstrip("/")
    return bool(stem) and (identity == stem or identity.startswith(stem + "/"))


def _made(domain: str, namespace: str, *pairs: str) -> Identity:
    segments = ("ns", namespace or NO_NAMESPACE, *pairs)
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise BadIdentity(
                f"{segment!r} cannot be a part of a SPIFFE ID: it may have letters, digits, '.', '-' and '_'"
            )
    return Identity(trust_domain(domain), "/" + "/".join(segments))
