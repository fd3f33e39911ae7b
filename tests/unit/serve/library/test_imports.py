"""The library needs grpcio and protobuf, and nothing else: shown in interpreters that have nothing else to import."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[4]

#: What may be loaded beside the standard library: ours, and what grpcio and protobuf are made of.
ALLOWED = {"tsunagu", "grpc", "google", "typing_extensions"}

LOADED = """
import sys
import grpc.aio  # which loads its own companions where they are installed
before = set(sys.modules)
import tsunagu.serve.library.xds_server
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
print(*sorted(name for name in sys.modules if name.startswith("tsunagu.")))
"""

#: Serves, is asked by a client, and stops, where every other distribution is out of reach.
ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Absent())

import asyncio
import grpc.aio
from tsunagu.serve.library.xds_server import CDS, Resource, XdsServer, dangling
from tsunagu.v1 import discovery_pb2

async def main():
    server = XdsServer(checks=[dangling])
    server.put(Resource.of(CDS, "a", b"\\x0a\\x01a"))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources")()
        await call.write(discovery_pb2.DiscoveryRequest(node={"id": "n"}, type_url=CDS).SerializeToString())
        answer = discovery_pb2.DiscoveryResponse.FromString(await call.read())
        call.cancel()
    await server.stop(0.1)
    print(answer.resources[0].value)

asyncio.run(main())
"""


def run(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_it_loads_grpcio_and_protobuf_and_little_else():
    others, ours = run(LOADED)
    assert set(others.split()) <= ALLOWED
    rooms = {name.split(".")[1] for name in ours.split()}
    assert rooms <= {"serve", "xds", "kit", "v1"}


def test_it_serves_where_nothing_else_is_installed():
    assert run(f"ALLOWED = {ALLOWED!r}\n" + ALONE) == [repr(b"\x0a\x01a")]


def test_the_base_dependencies_are_those_two():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(name.partition(">")[0] for name in project["dependencies"]) == ["grpcio", "protobuf"]
