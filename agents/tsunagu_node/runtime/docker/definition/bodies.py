"""The bodies of the requests that make a task's own containers: pause, Envoy, relay. Pure.

Rule: each may do as little as its work allows. Pause holds the network and runs nothing; the rules are made by a command in it,
as root with the one capability that it needs. (So pause alone is without `no-new-privileges`.)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RELAY, Process, PublishedPort
from tsunagu_node.runtime.docker.definition.places import Mount, bind
from tsunagu_node.runtime.docker.definition.site import KILLER, MESH, PAUSE, PROCESS, ROUTER, Site, network, sealed
from tsunagu_node.runtime.docker.images.machine_image import ROOT

RELAY_SOCKET: Final = "relay.sock"
RESOLV_CONF: Final = "resolv.conf"
_NOBODY: Final = "65534:65534"
_LEAST: Final = "no-new-privileges"
_PYTHON: Final = "/usr/local/bin/python3"
_BOOT: Final = "import sys; sys.path.insert(0, {root!r}); from tsunagu_node.runtime.docker.inside.{module} import main; main(sys.argv[1:])"
_OPEN_PORTS: Final = {"net.ipv4.ip_unprivileged_port_start": "0"}
PAUSE_COMMAND: Final = ("/usr/local/bin/sleep", "infinity")


def inside(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of `inside` in a container of the sidecar's own image."""
    return [_PYTHON, "-I", "-S", "-c", _BOOT.format(root=ROOT, module=module), *arguments]


def pause(
    site: Site,
    image: str,
    ip: str,
    definition: ecs_pb2.RegisterTaskDefinitionRequest,
    ports: Sequence[PublishedPort] = (),
    server: str = "",
) -> dict[str, Any]:
    """Return the body of the container that holds the task's network at the address `ip`; `ports`: those that the engine publishes.
    `server`: the name server of the task, unless its definition names others.
    """
    bindings = published(definition)
    for port in ports:
        bindings.setdefault(f"{port.host_port}/tcp", []).append({"HostIp": port.host, "HostPort": str(port.host_port)})
    body: dict[str, Any] = {
        "Image": image,
        "Entrypoint": list(PAUSE_COMMAND),
        "Cmd": [],
        "User": _NOBODY,
        "Hostname": hostname(site, definition),
        "Labels": site.labelled(PAUSE),
        "ExposedPorts": {key: {} for key in bindings},
        "HostConfig": {
            **site.host(),
            **site.security(),
            "NetworkMode": network(site.mesh),
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"],
            "ReadonlyRootfs": site.composed is None,  # else the engine's own /etc/hosts could not be written
            "Mounts": [*site.places.pause, *_resolv_conf(site, definition, server)],
            "Sysctls": {**_OPEN_PORTS, **network_controls(definition)},
            "IpcMode": "shareable" if definition.ipc_mode == "task" else "private",
            "PortBindings": bindings,
            "Init": definition.pid_mode == "task",  # it then has children of others to reap
            **resolver(definition, server if site.composed else ""),
        },
        "NetworkingConfig": {"EndpointsConfig": {network(site.mesh): {"IPAMConfig": {"IPv4Address": ip}}}},
    }
    return sealed(body)


def program(site: Site, image: str, pause_id: str, process: Process, argv: Sequence[str]) -> dict[str, Any]:
    """Return the body of the container of a Program (Envoy), which works in the task's directory as whoever owns that."""
    return sealed(
        {
            "Image": image,
            "Entrypoint": list(argv),
            "Cmd": [],
            "User": site.owner,
            "WorkingDir": process.cwd or str(site.places.task),
            "Env": [f"{name}={value}" for name, value in process.env.items()],
            "Labels": site.labelled(process.name),
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                **site.host(),
                **site.security(_LEAST),
                "NetworkMode": f"container:{pause_id}",
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": True,
                "Mounts": list(site.places.program),
            },
        }
    )


def relay(site: Site, image: str, pause_id: str) -> dict[str, Any]:
    """Return the body of the relay's container, which connects to the node agent by a socket in the task's folder.

    It shares the processes of pause: a first process of its own would be deaf to a SIGTERM that comes before it listens for it.
    """
    return {
        "Image": image,
        "Entrypoint": inside("start_relay", str(site.places.task / RELAY_SOCKET)),
        "Cmd": [],
        "User": site.owner,
        "Labels": site.labelled(RELAY),
        "HostConfig": {
            **site.host(),
            **site.security(_LEAST),
            "NetworkMode": f"container:{pause_id}",
            "PidMode": f"container:{pause_id}",
            "CapDrop": ["ALL"],
            "ReadonlyRootfs": True,
            "Mounts": list(site.places.program),
        },
    }


def router(site: Site, image: str, ip: str, folder: str) -> dict[str, Any]:
    """Return the body of the mesh's router, at the address `ip`; it sees `folder`. It belongs to no task."""
    return {
        "Image": image,
        "Entrypoint": list(PAUSE_COMMAND),
        "Cmd": [],
        "User": _NOBODY,
        "Labels": {**site.labels, MESH: site.mesh, PROCESS: ROUTER},
        "HostConfig": {
            **site.host(),
            **site.security(),
            "NetworkMode": network(site.mesh),
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"],
            "ReadonlyRootfs": True,
            "Sysctls": {"net.ipv4.ip_forward": "1"},
            "Mounts": [bind(folder, folder)],
        },
        "NetworkingConfig": {"EndpointsConfig": {network(site.mesh): {"IPAMConfig": {"IPv4Address": ip}}}},
    }


def killer(site: Site, image: str, processes: str, command: Sequence[str]) -> dict[str, Any]:
    """Return the body of a container that signals a process; `processes`: the PidMode that shows it."""
    return {
        "Image": image,
        "Entrypoint": list(command),
        "Cmd": [],
        "User": "0:0",
        "Labels": site.labelled(KILLER),
        "HostConfig": {
            **site.host(),
            "NetworkMode": "none",
            "PidMode": processes,
            "CapDrop": ["ALL"],
            "CapAdd": ["KILL"],
            "ReadonlyRootfs": True,
            "AutoRemove": True,
        },
    }


def network_body(mesh: str, subnet: str, gateway: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of the request that makes the network of a mesh."""
    return {
        "Name": network(mesh),
        "CheckDuplicate": True,
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": subnet, "Gateway": gateway}]},
        "Labels": dict(labels),
    }


def hostname(site: Site, definition: ecs_pb2.RegisterTaskDefinitionRequest) -> str:
    """Return the task's host name: what a container of it asks for, since all have one network; else its ID."""
    return next((one.hostname for one in definition.container_definitions if one.hostname), site.task)


def resolver(definition: ecs_pb2.RegisterTaskDefinitionRequest, server: str = "") -> dict[str, Any]:
    """Return whom the engine's own resolver asks: the definition's servers, else `server`, else the engine's."""
    servers = name_servers(definition) or ([server] if server else [])
    domains = search(definition)
    return {**({"Dns": servers} if servers else {}), **({"DnsSearch": domains} if domains else {})}


def name_servers(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> list[str]:
    """Return the dnsServers of its containers, which have one resolv.conf."""
    return [server for one in definition.container_definitions for server in one.dns_servers]


def search(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> list[str]:
    """Return the dnsSearchDomains of its containers."""
    return [domain for one in definition.container_definitions for domain in one.dns_search_domains]


def _resolv_conf(site: Site, definition: ecs_pb2.RegisterTaskDefinitionRequest, server: str) -> list[Mount]:
    """Return the mount of a resolv.conf of ours. In a composed mesh the engine's resolver asks our server, from inside of the task."""
    if site.composed is not None or not server or name_servers(definition):
        return []
    return [bind(site.directory / RESOLV_CONF, "/etc/resolv.conf")]


def network_controls(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> dict[str, str]:
    """Return the systemControls of the task's one network, which only the container that holds it can set."""
    controls = (control for one in definition.container_definitions for control in one.system_controls)
    return {one.namespace: one.value for one in controls if one.namespace.startswith("net.")}


def published(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> dict[str, Any]:
    """Return the PortBindings of bridge mode; a hostPort of 0 is any free port, as in ECS."""
    if definition.network_mode != "bridge":
        return {}
    mappings = [one for container in definition.container_definitions for one in container.port_mappings]
    bindings: dict[str, Any] = {}
    for one in mappings:
        if one.container_port and one.HasField("host_port"):
            key = f"{one.container_port}/{one.protocol or 'tcp'}"
            bindings.setdefault(key, []).append({"HostPort": str(one.host_port) if one.host_port else ""})
    return bindings
