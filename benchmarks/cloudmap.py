"""10,000 DiscoverInstances over 1,000 instances, beside moto's server in the same run.

Each server has ten services of a hundred instances, registered through boto3. The calls that are measured are signed by botocore before, ten of them, and
sent again and again on kept connections, so that the time is the server's and not boto3's. moto verifies no signature.
"""

import asyncio
import json
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from benchmarks import report
from tsunagu.kit import http
from tsunagu.testing import Mesh

SERVICES, INSTANCES = 10, 100
CALLS, WORKERS = 10_000, 4
_MOTO = Path(__file__).parents[1] / ".venv-peers" / "bin" / "moto_server"
_PORT = 45_117
_NAMESPACE = "bench"


def run(calls: int = CALLS) -> dict[str, Any]:
    """10,000 DiscoverInstances over 1,000 instances, beside moto's server."""
    figures: dict[str, Any] = {"instances": SERVICES * INSTANCES, "calls": calls, "workers": WORKERS}
    with ExitStack() as stack:
        servers = {"tsunagu": stack.enter_context(Mesh(aws=True)).aws()}
        if _MOTO.exists():
            servers["moto"] = stack.enter_context(_moto())
        else:
            print("  moto's server is not there: make peers installs it")
        for name, arguments in servers.items():
            figures[f"{name} registers"] = _fill(_client(arguments))
            report.line(f"{name}: registering an instance", f"{figures[f'{name} registers'] * 1000:.1f} ms")
        for name, arguments in servers.items():
            figures[name] = _measured(arguments, calls)
            each, rate = report.milliseconds(figures[name]), figures[name]["per_second"]
            report.line(f"{name}: DiscoverInstances", f"{rate:.0f}/s; {each}")
    return figures


def _fill(client: Any) -> float:
    """Register everything; the seconds of one registration."""
    operation = client.create_http_namespace(Name=_NAMESPACE)["OperationId"]
    namespace = client.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    began = time.perf_counter()
    for number in range(SERVICES):
        service = client.create_service(Name=f"s{number}", NamespaceId=namespace)["Service"]["Id"]
        for each in range(INSTANCES):
            attributes = {
                "AWS_INSTANCE_IPV4": f"10.1.{number}.{each + 1}",
                "AWS_INSTANCE_PORT": "80",
                "shard": str(each % 4),
            }
            client.register_instance(ServiceId=service, InstanceId=f"i-{each}", Attributes=attributes)
    return (time.perf_counter() - began) / (SERVICES * INSTANCES)


def _measured(arguments: dict[str, str], calls: int) -> dict[str, float]:
    requests = [_signed(arguments, f"s{number}") for number in range(SERVICES)]
    host, _, port = requests[0].host.rpartition(":")
    times: list[float] = []
    began = time.perf_counter()

    async def work() -> None:
        connection = http.HttpConnection((host, int(port)))
        for number in range(calls // WORKERS):
            sent = time.perf_counter()
            answer = await connection.request(requests[number % SERVICES])
            times.append(time.perf_counter() - sent)
            assert answer.status == 200, answer.text
            assert number or len(json.loads(answer.body)["Instances"]) == INSTANCES
        connection.close()

    async def everyone() -> None:
        await asyncio.gather(*(work() for _ in range(WORKERS)))

    asyncio.run(everyone())
    return {**report.spread(times), "per_second": len(times) / (time.perf_counter() - began)}


def _signed(arguments: dict[str, str], service: str) -> http.Request:
    """A DiscoverInstances; its signature holds for five minutes."""
    host = arguments["endpoint_url"].rpartition("/")[2].rpartition("@")[2]
    body = json.dumps({"NamespaceName": _NAMESPACE, "ServiceName": service}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "Route53AutoNaming_v20170314.DiscoverInstances",
    }
    whole = AWSRequest("POST", f"http://{host}/", headers, body)
    keys = Credentials(arguments["aws_access_key_id"], arguments["aws_secret_access_key"])
    SigV4Auth(keys, "servicediscovery", arguments["region_name"]).add_auth(whole)
    return http.Request("/", "POST", host, dict(whole.headers.items()), body)


def _client(arguments: dict[str, str]) -> Any:
    config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
    return boto3.Session().client("servicediscovery", **arguments, config=config)


def _arguments(port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return {"endpoint_url": url, "region_name": "us-east-1", **keys}


@contextmanager
def _moto():
    process = subprocess.Popen([_MOTO, "-p", str(_PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = _client(_arguments(_PORT))
        deadline = time.monotonic() + 60
        while True:
            try:
                client.list_namespaces()
                break
            except Exception:  # noqa: BLE001 - botocore's many ways to say that nobody listens yet
                assert time.monotonic() < deadline, "moto's server did not start"
                time.sleep(0.2)
        yield _arguments(_PORT)
    finally:
        process.terminate()
        process.wait(10)
