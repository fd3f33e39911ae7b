"""One virtual IP for every DNS name of a namespace, in 127.255.0.0/16.

Callers keep an address for as long as they please, so the one rule: a name keeps its address while anything uses it or may
have cached it. A released address rests before another name gets it; fresh ones are given out first, and of the rested
ones that which was released longest ago. A name that returns gets what it had.

The address also remembers when each of the name's ports came into use (`births`), for tasks whose names are frozen: a name
that was given up and returns is born again. And it says to which discovery names the name leads, for tasks that see only some.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import islice
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import Action, Change, Create, Plan, Remove, clone, stamp
from tsunagu.model import cloud_map, ids
from tsunagu.model.outside import external
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object

    #: (namespace, DNS name) -> how it is used
    Names = Mapping[tuple[str, str], "Use"]

FIRST = int(IPv4Address("127.255.0.1"))
LAST = int(IPv4Address("127.255.255.254"))

#: The only key: whether an address is free depends on all of them.
KEY = "all"


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """The addresses from `first` to `last`, as integers, both included."""

    first: int = FIRST
    last: int = LAST


@dataclass(frozen=True, slots=True)
class Use:
    """How a name is used. `births`: port -> the first of the deployments that offer it; `leads`: to these discovery names."""

    births: dict[int, int] = field(default_factory=dict)
    leads: set[str] = field(default_factory=set)


#: All of 127.255.0.0/16 but its first and last address.
SPACE = AddressSpace()


def plan(informer: Informer, _key: str, now: float, policy: Policy) -> Plan:
    """What to do about virtual addresses; there is only one key."""
    return plan_addresses(names_in_use(informer), tuple(informer.objects("VirtualAddress").values()), now, policy)


def keys_for(_informer: Informer, change: ObjectChange) -> Iterable[str]:
    """The one key when a change may change which names are in use; most changes of a task do not."""
    old, new = change.old, change.new
    if change.kind == "Task":
        return () if old and new and task_state.is_stopped(old) == task_state.is_stopped(new) else (KEY,)
    if change.kind == "Service":
        same = old and new and old.service.status.revision == new.service.status.revision
        return () if same else (KEY,)
    if change.kind == "CloudMapInstance":
        return () if old and new and _address(old) == _address(new) else (KEY,)
    return (KEY,) if change.kind in {"ServiceRevision", "VirtualAddress", "CloudMapService", "External"} else ()


def names_in_use(informer: Informer) -> Names:
    """Every name with an alias of a revision that a service desires or that a task still runs, or of what is registered."""
    deployments: dict[str, int] = {}
    for name, deployment in _revisions_in_use(informer):
        deployments[name] = min(deployment, deployments.get(name, deployment))
    revisions = informer.objects("ServiceRevision")
    used: dict[tuple[str, str], Use] = {}
    for name, deployment in deployments.items():
        for dns_name, port, leads in _aliases(revisions[name]) if name in revisions else ():
            use = used.setdefault((revisions[name].service_revision.namespace, dns_name), Use())
            use.births[port] = min(deployment, use.births.get(port, deployment))
            use.leads.add(leads)
    for name, created, aliases in (*_registered(informer), *_externals(informer)):
        namespace, _, leads = name.partition("/")
        for dns_name, port in aliases:
            use = used.setdefault((namespace, dns_name), Use())
            use.births.setdefault(port, created)
            use.leads.add(leads)
    return used


def _registered(informer: Informer) -> Iterator[tuple[str, int, tuple[tuple[str, int], ...]]]:
    """(name, registry revision of its creation, aliases) of each CloudMapService that has an instance with an address."""
    services = informer.objects("CloudMapService")
    ports: dict[str, set[int]] = {}
    for name, obj in informer.objects("CloudMapInstance").items():
        address, owner = _address(obj), ids.cloud_map_service_of(name)[0]
        if address is not None and owner in services:
            ports.setdefault(owner, set()).add(address.port)
    for name, found in ports.items():
        yield name, services[name].meta.created_revision, cloud_map.aliases(services[name], found)


def _externals(informer: Informer) -> Iterator[tuple[str, int, tuple[tuple[str, int], ...]]]:
    """(name, registry revision of its creation, aliases) of each External."""
    for name, obj in informer.objects("External").items():
        yield name, obj.meta.created_revision, external.aliases(name, obj.external)


def _address(instance: Object) -> cloud_map.Address | None:
    return cloud_map.address_of(instance.cloud_map_instance.attributes)


def _revisions_in_use(informer: Informer) -> Iterator[tuple[str, int]]:
    """(ServiceRevision, deployment) of each service, and of each task that has not stopped."""
    for service in informer.objects("Service").values():
        yield service.service.status.revision, service.service.status.deployment
    for task in informer.objects("Task").values():
        if not task_state.is_stopped(task):
            yield task.task.spec.service_revision, task.task.spec.deployment


def _aliases(revision: Object) -> Iterator[tuple[str, int, str]]:
    """(DNS name, port, the discovery name to which it leads) of each alias."""
    ports = revision.service_revision.ports
    return ((alias.dns_name, alias.port, port.discovery_name) for port in ports for alias in port.aliases)


def plan_addresses(
    used: Names, known: Iterable[Object], now: float, policy: Policy, space: AddressSpace = SPACE
) -> Plan:
    """Allocates and releases. `known`: every VirtualAddress.

    Names for which no address is left are in `Plan.problem`.
    """
    names = {ids.virtual_address_name(*name): name for name in used}
    addresses = {address.meta.name: address for address in known}
    idle = [address for name, address in addresses.items() if name not in names]
    actions: list[Action] = [
        *(
            change
            for name, address in addresses.items()
            if name in names
            for change in _use(address, used[names[name]])
        ),
        *(_release(address, now) for address in idle if _released_at(address) is None),
    ]
    missing = sorted(names.keys() - addresses.keys())
    if not missing:
        return Plan(tuple(actions))
    spare = list(islice(_spare(addresses.values(), idle, now - policy.address_rest, space), len(missing)))
    for name, (ip, previous) in zip(missing, spare, strict=False):
        actions += [Remove(previous)] if previous else []
        actions.append(_allocate(name, names[name], ip, used[names[name]]))
    if len(spare) == len(missing):
        return Plan(tuple(actions))
    rested = (policy.address_rest + (_released_at(address) or now) for address in idle)
    return Plan(tuple(actions), min(rested, default=None), _exhausted(missing[len(spare) :], space, policy))


def _spare(
    known: Iterable[Object], idle: Iterable[Object], released_before: float, space: AddressSpace
) -> Iterator[tuple[str, Object | None]]:
    """Addresses to allocate, in order, each with the object that holds it until now, if one does."""
    taken = {address.virtual_address.ip for address in known}
    candidates = map(_dotted, range(space.first, space.last + 1))
    yield from ((ip, None) for ip in candidates if ip not in taken)
    rested = [
        (released, address.meta.name, address)
        for address in idle
        if (released := _released_at(address)) is not None and released <= released_before
    ]
    yield from ((address.virtual_address.ip, address) for _, _, address in sorted(rested, key=lambda each: each[:2]))


def _dotted(number: int) -> str:
    """As `IPv4Address` writes it, twenty times as fast: the search for a free address is most of the work here."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _exhausted(missing: list[str], space: AddressSpace, policy: Policy) -> str:
    return (
        f"no virtual address is left for {', '.join(missing)}: all {space.last - space.first + 1} from "
        f"{_dotted(space.first)} to {_dotted(space.last)} are in use, or were released less than "
        f"{policy.address_rest:.0f} s ago"
    )


def _released_at(address: Object) -> float | None:
    body = address.virtual_address
    return task_state.seconds(body.released_at) if body.HasField("released_at") else None


def _use(address: Object, use: Use) -> Iterator[Change]:
    """The address as its name is used; nothing if it is so already."""
    body = address.virtual_address
    released = _released_at(address) is not None
    # An address in use without births is of a registry that did not keep them: its ports were there before all that are kept.
    kept = {} if released else dict(body.births) or dict.fromkeys(use.births, 0)
    births = {port: kept.get(port, born) for port, born in use.births.items()}
    if released or births != dict(body.births) or sorted(use.leads) != body.discovery_names:
        taken = clone(address)
        _forget_use(taken)
        taken.virtual_address.births.update(births)
        taken.virtual_address.discovery_names.extend(sorted(use.leads))
        yield Change(taken)


def _forget_use(address: Object) -> None:
    """Take away what an address says of its use."""
    address.virtual_address.ClearField("released_at")
    address.virtual_address.ClearField("births")
    address.virtual_address.ClearField("discovery_names")


def _release(address: Object, now: float) -> Change:
    released = clone(address)
    _forget_use(released)
    stamp(released.virtual_address.released_at, now)
    return Change(released)


def _allocate(name: str, parts: tuple[str, str], ip: str, use: Use) -> Create:
    namespace, dns_name = parts
    body = objects_pb2.VirtualAddress(
        namespace=namespace, dns_name=dns_name, ip=ip, births=use.births, discovery_names=sorted(use.leads)
    )
    return Create(ids.make("VirtualAddress", name, body))
