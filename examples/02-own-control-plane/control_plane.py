# A control plane of one's own: Envoy's port 10000 leads to the servers in a file, and follows it when it changes.
import asyncio
import sys
from pathlib import Path

from tsunagu import ClusterLoadAssignment, XdsServer, resources_from

FILE = Path(sys.argv[1])  # a line HOST:PORT for each server


def endpoints() -> ClusterLoadAssignment:
    hosts = []
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        host, _, port = line.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{FILE}:{number}: {line!r} is not HOST:PORT; the servers stay as they were")
        hosts.append({"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}})
    return ClusterLoadAssignment(cluster_name="app", endpoints=[{"lb_endpoints": hosts}])


async def follow(server: XdsServer, seen: int = 0) -> None:
    while True:
        try:
            if seen != (seen := FILE.stat().st_mtime_ns):
                server.put(endpoints())
        except (OSError, ValueError) as error:
            print(error, flush=True)
        await asyncio.sleep(0.2)


async def main() -> None:
    async with XdsServer() as server, asyncio.TaskGroup() as tasks:
        server.put(*resources_from(Path(__file__).with_name("edge.yaml")), endpoints())
        await server.start("127.0.0.1:18000")
        tasks.create_task(follow(server), name="follow the file")
        async for event in server.events():
            print(event.proxy or "here", event.kind, event.type, *event.names, event.error or event.detail, flush=True)


asyncio.run(main())
