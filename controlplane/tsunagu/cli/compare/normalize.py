"""One resource in one form, whether it comes encoded from the control plane or as JSON out of Envoy's config_dump.

Two that mean the same must look the same, or operators learn to ignore differences. So durations, floats and order of
members are brought to one spelling, and of endpoints, which Envoy does not keep as it was given them but derives from its
live hosts, what it fills in is left out. The rule: nothing that the control plane can state is left out on its side.
"""

from __future__ import annotations

import binascii
import importlib
import re
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from tsunagu.xds.resources import EDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Tree: TypeAlias = Any  # a JSON value

_TYPES = re.compile(rb"type\.googleapis\.com/([\w.]+)\.\w+")
_REASON = 200  # characters of what a library says of bytes that it cannot read
_LARGEST = 3e38  # about; of a float of 32 bits
_NUMBER = re.compile(r"0|[1-9]\d{0,18}")
_DURATION = re.compile(r"(-?\d+)(?:\.(\d+))?s")
REDACTED = "[redacted]"
_REDACTED = (REDACTED, binascii.b2a_base64(REDACTED.encode(), newline=False).decode())
#: Members that are marked sensitive in Envoy's API, wherever they stand.
_SECRET = frozenset({
    "private_key", "password", "pkcs12", "session_ticket_keys", "generic_secret", "secret", "secrets",
    "secret_access_key", "session_token", "client_secret", "hmac_secret", "token_secret", "auth_password", "users",
})  # fmt: skip


class Unreadable(Exception):
    """Content that cannot be shown: of a type that nobody here knows, or no message at all."""


def of_body(type_url: str, body: bytes) -> Tree:
    """An encoded resource. Raises Unreadable."""
    return _of(type_url, _decoded(type_url, body))


def as_sent(type_url: str, body: bytes) -> Tree:
    """An encoded resource to be read by people: as it is, but for keys and passwords. Raises Unreadable."""
    return hidden(plain({name: value for name, value in _decoded(type_url, body).items() if name != "@type"}))


def _decoded(type_url: str, body: bytes) -> dict[str, Tree]:
    from envoy_data_plane.google.protobuf import Any as Packed  # noqa: PLC0415 - a third of a second, for this alone

    _register(type_url.encode() + b"\n" + body)
    try:
        shown: dict[str, Tree] = Packed(type_url=type_url, value=body).to_dict(casing=_as_it_is)
    except (TypeError, ValueError, KeyError, EOFError) as error:
        raise Unreadable(f"cannot be shown: {' '.join(str(error).split())[:_REASON]}") from error
    return shown


def of_dump(type_url: str, shown: Mapping[str, Tree]) -> Tree:
    """A resource as config_dump has it."""
    return _of(type_url, shown)


def _of(type_url: str, shown: Mapping[str, Tree]) -> Tree:
    tree = _counted(plain({name: value for name, value in shown.items() if name != "@type"}))
    return _assignment(tree) if type_url == EDS else tree


def _counted(value: Tree) -> Tree:
    """Whole numbers as numbers: JSON has those of 64 bits as strings (ProtoJSON), and betterproto2 some of them as numbers."""
    if isinstance(value, dict):
        return {name: _counted(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_counted(one) for one in value]
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _as_it_is(name: str) -> str:
    """Names as in the .proto file, as Envoy prints them; betterproto2's own casing makes 5xx to 5_xx."""
    return name


def _register(text: bytes) -> None:
    """Imports the packages of all types that the text names: what is packed can be read only when its type is known."""
    for package in set(_TYPES.findall(text)):
        with suppress(ModuleNotFoundError):
            importlib.import_module(f"envoy_data_plane.{package.decode()}")


def plain(value: Tree) -> Tree:
    """Durations without trailing zeros, floats as precise as the shorter of the two kinds, members by name."""
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in sorted(value, key=_name_first)}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and abs(value) < _LARGEST:
        return struct.unpack("f", struct.pack("f", value))[0]
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        fraction = (found[2] or "").rstrip("0")
        return f"{found[1]}.{fraction}s" if fraction else f"{found[1]}s"
    return value


def _name_first(name: str) -> tuple[bool, bool, str]:
    return (name != "@type", name not in ("name", "cluster_name"), name)


def hidden(value: Tree, *, secret: bool = False) -> Tree:
    """Without what Envoy hides in its dump (keys, passwords): whoever may look at a mesh need not know its keys."""
    if isinstance(value, dict):
        return {name: hidden(one, secret=secret or name in _SECRET) for name, one in value.items()}
    if isinstance(value, list):
        return [hidden(one, secret=secret) for one in value]
    harmless = isinstance(value, str) and not (secret or "PRIVATE KEY-----" in value)
    return value if harmless or not isinstance(value, str) else REDACTED


def veiled(ours: Tree, theirs: Tree) -> Tree:
    """Ours, with what Envoy hides in this very dump hidden as well."""
    if theirs in _REDACTED and isinstance(ours, str):
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {name: veiled(value, theirs.get(name)) for name, value in ours.items()}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [veiled(one, other) for one, other in zip(ours, theirs, strict=True)]
    return ours


# A ClusterLoadAssignment, as a set of hosts.

_OVERPROVISIONING = 140
#: Health as a control plane can state it -> as Envoy's dump shows it. What is not stated Envoy finds out by itself.
_HEALTH = {"UNHEALTHY": "UNHEALTHY", "DRAINING": "UNHEALTHY", "TIMEOUT": "UNHEALTHY", "DEGRADED": "DEGRADED"}


def _assignment(tree: Mapping[str, Tree]) -> Tree:
    localities = [_locality(one) for one in tree.get("endpoints", ())]
    localities = sorted((one for one in localities if one["lb_endpoints"]), key=_place)
    factor = (tree.get("policy") or {}).get("overprovisioning_factor", _OVERPROVISIONING)
    policy = {"policy": {"overprovisioning_factor": factor}} if factor != _OVERPROVISIONING else {}
    return {"cluster_name": tree.get("cluster_name", ""), "endpoints": localities, **policy}


def _place(locality: Mapping[str, Tree]) -> tuple[int, str]:
    return locality.get("priority", 0), str(locality.get("locality"))


def _locality(tree: Mapping[str, Tree]) -> dict[str, Tree]:
    hosts: dict[str, Tree] = {}
    for one in tree.get("lb_endpoints", ()):
        host = _host(one)
        hosts.setdefault(str(host["address"]), host)  # of two with one address Envoy keeps the first
    members = {name: tree[name] for name in ("locality", "load_balancing_weight", "priority") if tree.get(name)}
    return {**members, "lb_endpoints": [hosts[address] for address in sorted(hosts)]}


def _host(tree: Mapping[str, Tree]) -> dict[str, Tree]:
    endpoint = tree.get("endpoint") or {}
    weight = tree.get("load_balancing_weight", 1)
    members = {
        "hostname": endpoint.get("hostname"),
        "additional_addresses": endpoint.get("additional_addresses"),
        "health_check_config": endpoint.get("health_check_config"),
        "health_status": _HEALTH.get(tree.get("health_status", "")),
        "load_balancing_weight": weight if weight != 1 else None,
        "metadata": tree.get("metadata"),
    }
    return {"address": endpoint.get("address"), **{name: value for name, value in members.items() if value}}


def without_live_health(ours: Tree, theirs: Tree) -> Tree:
    """Theirs, without the health of hosts of which we say none: ejected for its errors, a host is configured all the
    same (`tsunagu envoy TASK clusters` shows it).
    """
    silent = {_key(place, host) for place, host in _hosts(ours) if "health_status" not in host}
    for place, host in _hosts(theirs):
        if _key(place, host) in silent:
            host.pop("health_status", None)
    return theirs


def _hosts(tree: Tree) -> Iterator[tuple[Tree, dict[str, Tree]]]:
    for locality in tree.get("endpoints", ()):
        for host in locality["lb_endpoints"]:
            yield locality, host


def _key(place: Mapping[str, Tree], host: Mapping[str, Tree]) -> str:
    return f"{place.get('priority', 0)} {host['address']}"
