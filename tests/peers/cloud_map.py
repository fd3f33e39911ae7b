"""moto's own test suite of Cloud Map, unmodified, in its server mode, against the endpoint of a real mesh: `make peers`.

Rule: a test is left out only if it needs another service of AWS or moto inside of its own process, or asserts what AWS's own model or reference
says otherwise; which, and why, is the table here, and it is printed. A test that is listed and passes all the same is an error, too.

Run with the Python of the tests; `.venv-peers` has moto and what its tests need, and nothing of ours.
"""

import asyncio
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.peers.adapter import Adapter
from tsunagu.aws.process import listening
from tsunagu.client.connection import channel
from tsunagu.client.registry import RegistryClient
from tsunagu.kit import http_server
from tsunagu.registry.objects import DeleteObject
from tsunagu.testing import Mesh

MOTO = "5.2.5"
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SUITE = f"moto-{MOTO}/tests/test_servicediscovery"
#: Its one test calls moto's server within its own process, so it is about nothing of ours.
OF_MOTO = "test_server.py"
KINDS = ("CloudMapInstance", "CloudMapService", "Namespace", "CloudMapOperation")

_ROUTE53 = "asks Route 53, which is another service"
_NO_NAMESPACE = (
    "CreateService needs a NamespaceId that exists: its errors in the model are InvalidInput and NamespaceNotFound"
)
_ERROR = "the error is not among those of the operation in AWS's model"
#: Test -> why it is left out.
LEFT_OUT = {
    "test_create_public_dns_namespace": _ROUTE53,
    "test_create_private_dns_namespace_with_duplicate_vpc": f"ConflictingDomainExists: {_ERROR}",
    "test_update_public_dns_namespace": "a public namespace keeps its hosted zone when its SOA changes (DnsProperties.HostedZoneId)",
    "test_create_service": "FailureThreshold is 1 to 10 in the model; a service has a NamespaceId, and one of the two health checks",
    "test_update_service_description": "UpdateService: a HealthCheckConfig that is left out is deleted",
    "test_create_service_with_tags": _NO_NAMESPACE,
    "test_get_update_service_operation": _NO_NAMESPACE,
    "test_update_instance_custom_health_status": "without HealthCheckCustomConfig it is CustomHealthNotFound",
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, Mesh(aws=True) as mesh:
        suite = fetched(Path(folder))
        with served(mesh) as port:
            report = Path(folder) / "report.xml"
            finish = subprocess.run(command(suite, report), env=environment(port), cwd=suite.parents[1], check=False)
        return judged(report, finish.returncode)


def fetched(folder: Path) -> Path:
    """The suite, of moto's source distribution."""
    options = ("--no-deps", "--no-binary", ":all:", "--quiet", "--disable-pip-version-check", "-d", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "download", *options, f"moto=={MOTO}"], check=True)
    with tarfile.open(next(folder.glob("moto-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / SUITE


def command(suite: Path, report: Path) -> list[str]:
    options = (
        "-q",
        "--tb=line",
        "--color=no",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        f"--ignore={suite / OF_MOTO}",
    )
    return [str(PYTHON), "-m", "pytest", *options, str(suite)]


def environment(port: int) -> dict[str, str]:
    return {
        **os.environ,
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": f"http://127.0.0.1:{port}",
    }


class served:
    """The adapter in front of the mesh's endpoint, in a thread, for the length of the block; gives its port."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="adapter")
        self._ready = threading.Event()

    def __enter__(self) -> int:
        self._thread.start()
        assert self._ready.wait(20)
        return self._port

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = listening("127.0.0.1", 0)
        self._port = listener.getsockname()[1]
        async with channel(self._mesh.home.api_socket) as opened, asyncio.TaskGroup() as group:
            registry = RegistryClient(opened)
            adapter = Adapter(self._mesh.aws(), lambda: emptied(registry))
            work = group.create_task(http_server.serve(listener, adapter.handle, "adapter"), name="adapter")
            self._ready.set()
            await self._stop.wait()
            work.cancel()


async def emptied(registry: RegistryClient) -> None:
    """Delete all that Cloud Map shows."""
    for kind in KINDS:
        found, _ = await registry.list(kind)
        if found:
            await registry.batch([DeleteObject(kind, obj.meta.name) for obj in found])


def judged(report: Path, code: int) -> int:
    """Print what was left out and what failed; return the exit code."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = {case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None}
    skipped = {case.get("name") for case in cases if case.find("skipped") is not None}
    print(f"\nLeft out of moto {MOTO}'s suite of Cloud Map, since AWS does otherwise, or it is not about Cloud Map:")
    for name, why in LEFT_OUT.items():
        print(f"  {name}: {why}")
    print(f"Skipped by the suite itself in its server mode: {', '.join(sorted(map(str, skipped)))}")
    for name in sorted(failed - LEFT_OUT.keys()):
        print(f"FAILED {name}")
    for name in sorted(LEFT_OUT.keys() - failed):
        print(f"PASSED, though it is left out: {name}")
    passed = len(cases) - len(failed) - len(skipped)
    wrong = len(failed ^ LEFT_OUT.keys())
    print(f"\n{passed} passed, {wrong} failed, {len(LEFT_OUT)} left out")
    return 1 if wrong or not passed or code not in (0, 1) else 0


if __name__ == "__main__":
    sys.exit(main())
