"""The network of a mesh: found by its name, or made with addresses that nothing on this machine uses.

Rule: it belongs to the mesh and goes with it. Addresses are given by the node agent, not by the engine, which would give one that
was just given back.
"""

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker import subnets
from tsunagu_node.runtime.docker.definition import bodies
from tsunagu_node.runtime.docker.definition.site import MESH, network
from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError

_ROUTES: Final = Path("/proc/net/route")
_NOT_FOUND: Final = 404
_TRIES: Final = 16


async def ensured(engine: Engine, mesh: str, labels: Mapping[str, str]) -> IPv4Network:
    """Return the addresses of the mesh's network; make it when there is none. Raises RuntimeFailed."""
    try:
        return _subnet(await engine.call("GET", f"/networks/{network(mesh)}"))
    except EngineError as error:
        if error.status != _NOT_FOUND:
            raise
    refusals = ""
    free = subnets.candidates(mesh, await _taken(engine))
    for subnet, _ in zip(free, range(_TRIES), strict=False):
        body = bodies.network_body(mesh, str(subnet), str(subnet[1]), {**labels, MESH: mesh})
        try:
            await engine.call("POST", "/networks/create", None, body)
        except EngineError as error:
            refusals = str(error)  # it overlaps with something that only the engine knows of
        else:
            return subnet
    raise RuntimeFailed(
        f"no network for the tasks' addresses could be made: {refusals or 'all of 10.96.0.0/11 is used'}"
    )


async def _taken(engine: Engine) -> list[IPv4Network]:
    taken = []
    with suppress(OSError):
        taken += subnets.routed(_ROUTES.read_text())
    for one in await engine.call("GET", "/networks"):
        for config in (one.get("IPAM") or {}).get("Config") or ():
            with suppress(ValueError, KeyError):
                taken.append(IPv4Network(config["Subnet"], strict=False))
    return taken


def _subnet(found: Mapping[str, Any]) -> IPv4Network:
    return IPv4Network(found["IPAM"]["Config"][0]["Subnet"])
