"""Which DNS names an alias may not have: a task's resolver gives them another meaning.

The one rule: as in ``services``, which lists the rule here.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tsunagu.model import references, revisions
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject

_OWN = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_OF_HERE = ".tsunagu.internal"  # names of the machine itself, as tasks see it
_TASK = re.compile(r"(.+)-[0-9a-f]{8}")


def resolvable(subject: Subject) -> Iterator[Issue]:
    """An alias is a name that callers' tasks do not already have: no localhost, no address, no task's host name."""
    spec = subject.obj.service.spec
    if not references.connects(spec):
        return
    namespace = references.namespace_of(spec, subject.indexes.state)
    for index, offered in enumerate(spec.service_connect_configuration.services):
        named = "clientAliases[0].dnsName" if any(one.dns_name for one in offered.client_aliases) else "portName"
        for alias in revisions.aliases(offered, 0, namespace):
            if why := taken(alias.dns_name, subject):
                path = f"serviceConnectConfiguration.services[{index}].{named}"
                yield issue(path, f"{alias.dns_name!r} {why}", "choose another dnsName")


def taken(name: str, subject: Subject) -> str:
    """Why a task does not ask its proxy for a name; empty if it does."""
    if name in _OWN or name.endswith(".localhost"):
        return "is every task itself"
    if _is_address(name):
        return "is an address, which nobody resolves"
    if name.endswith(_OF_HERE):
        return "is a name of this machine"
    task = _TASK.fullmatch(name)
    if task is not None and task[1] in subject.indexes.service_names:
        return f"is the host name of a task of {task[1]}"
    return ""


def _is_address(name: str) -> bool:
    """Whether resolvers take a name for an IPv4 address: its last label is a number."""
    last = name.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
