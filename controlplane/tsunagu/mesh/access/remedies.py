"""What to write so that a call is allowed: one entry of a policy's `allow`, as people write it.

The one rule: the entry allows this caller this request and nothing else, and reading it gives a rule that allows the call.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tsunagu.model.references import DEFAULT_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.mesh.access.words import Call


def entry(call: Call, namespace: str, protocol: str) -> str:
    """Return the entry, in YAML's flow style. `namespace`: the policy's. `protocol`: of the port that is called."""
    said: dict[str, Any] = {"from": [caller(call.identity, namespace)]}
    request = _request(call, protocol)
    if request:
        said["requests"] = [request]
    return _flow(said)


def caller(identity: str, namespace: str) -> dict[str, Any]:
    """Return the entry of `from` for the path of a SPIFFE ID."""
    _, _, own, kind, *rest = identity.split("/")
    where = {} if own == namespace else {"namespace": own}
    match kind, rest:
        case "cluster", [cluster, "service", service]:
            return {"service": service if cluster == DEFAULT_CLUSTER else f"{cluster}/{service}", **where}
        case "cluster", [cluster, "task", family]:
            return {"family": family, **({} if cluster == DEFAULT_CLUSTER else {"cluster": cluster}), **where}
        case "gateway", [name]:
            return {"gateway": name, **where}
        case _:
            return {"hosts": True, **where}


def _request(call: Call, protocol: str) -> Mapping[str, str]:
    path = call.path.partition("?")[0]
    if protocol == "tcp":
        return {}
    if protocol == "grpc":
        _, service, method = ([*path.split("/"), "", ""])[:3]
        return {"serviceName": service, "methodName": method} if method else {"serviceName": service}
    said = {"method": call.method, "path": path}
    return {name: value for name, value in said.items() if value}


def _flow(value: Any) -> str:
    """YAML that one may paste into a list."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if _plain(value) else json.dumps(value)


def _plain(text: str) -> bool:
    """Whether YAML's flow style reads the text as itself."""
    return (
        bool(text)
        and all(letter.isalnum() or letter in "/._-" for letter in text)
        and not text[0].isdigit()
        and text[0] != "-"
    )
