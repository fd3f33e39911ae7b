"""AWS's own clients with a real mesh: boto3, the AWS CLI, and what they register is called by tasks through Envoy."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.shop import SHOP
from tsunagu.model import ids
from tsunagu.testing import Mesh
from tsunagu.testing.call import CallFailed

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def mesh():
    with Mesh(SHOP, aws=True) as running:
        running.wait_steady()
        yield running


@pytest.fixture(scope="module")
def client(mesh):
    return boto3.client("servicediscovery", **mesh.aws(), config=Config(retries={"total_max_attempts": 1}))


class Page(http.server.BaseHTTPRequestHandler):
    """A program on this machine that is no task."""

    def do_GET(self):
        body = f"from this machine: {self.headers['host']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    """Its port on 127.0.0.1."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def tsunagu(mesh, *words):
    command = [sys.executable, "-m", "tsunagu.cli", *words, "--home", str(mesh.home.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def succeeded(client, answer):
    """Wait for an operation as a waiter does, and return its targets."""
    deadline = time.monotonic() + 60
    while (told := client.get_operation(OperationId=answer["OperationId"])["Operation"])["Status"] != "SUCCESS":
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return told["Targets"]


def test_boto3_discovers_the_tasks_of_service_connect(mesh, client):
    def found():
        return client.discover_instances(NamespaceName="shop", ServiceName="orders")["Instances"]

    tasks = {ids.task_id(task) for task in mesh.tasks("orders")}
    mesh.wait_until(
        lambda: {one["InstanceId"] for one in found()} == tasks,
        60,
        "the tasks: the endpoint hears of them after the registry",
    )
    assert all(one["Attributes"]["ECS_SERVICE_NAME"] == "orders" for one in found())


def test_what_is_registered_by_boto3_is_called_by_tasks(mesh, client, page):
    [namespace] = [one["Id"] for one in client.list_namespaces()["Namespaces"] if one["Name"] == "shop"]
    service = client.create_service(Name="machine", NamespaceId=namespace)["Service"]["Id"]
    attributes = {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(page)}
    succeeded(client, client.register_instance(ServiceId=service, InstanceId="here", Attributes=attributes))
    answer = mesh.call(f"http://machine:{page}/", from_task="web")
    assert (answer.status, answer.text) == (200, f"from this machine: machine:{page}")
    succeeded(client, client.deregister_instance(ServiceId=service, InstanceId="here"))
    client.delete_service(Id=service)


def sites(client):
    """The instances of the service `site`; None when there is no such service."""
    try:
        return client.discover_instances(NamespaceName="shop", ServiceName="site")["Instances"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ServiceNotFound":
            raise
        return None


def test_register_and_deregister_do_the_same(mesh, client, page):
    said = tsunagu(mesh, "register", "site", f"localhost:{page}", "--port", "80", "--protocol", "http")
    assert said == f"tasks of namespace shop reach 127.0.0.1:{page} at site:80\n"
    answer = mesh.call("http://site/", from_task="web")
    assert (answer.status, answer.text) == (200, "from this machine: site")
    [found] = mesh.wait_until(lambda: sites(client), 60, "the endpoint hears of it after the registry")
    assert found["Attributes"] == {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(page)}
    assert "deregistered" in tsunagu(mesh, "deregister", "site")
    mesh.wait_until(lambda: sites(client) is None, 60, "the end of the service")


def test_no_task_reaches_the_endpoint(mesh, client):
    """Neither at this machine's loopback, nor when somebody registers the endpoint itself, past the command that refuses it."""
    at = json.loads(mesh.home.aws_endpoint.read_text())
    program = (
        "import socket,sys\n"
        "try:\n    s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2)\n"
        "    s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n    print('said', s.recv(100))\n"
        "except OSError as e:\n    print('refused', e)\n"
    )
    tsunagu(mesh, "register", "endpoint", "127.0.0.1:9", "--port", str(at["port"]), "--id", "it")
    mesh.apis.update(
        "CloudMapInstance",
        "shop/endpoint/it",
        lambda obj: obj.cloud_map_instance.attributes.update({"AWS_INSTANCE_PORT": str(at["port"])}),
    )
    mesh.wait_converged()
    try:
        for host in ("127.0.0.1", "169.254.88.1", "10.88.0.1"):
            done = mesh.execute("web", sys.executable, "-c", program, host, str(at["port"]))
            assert done.text.startswith(("refused", "said b''")), done
        with pytest.raises(CallFailed):
            mesh.call(f"http://endpoint:{at['port']}/", from_task="web", timeout=5)
    finally:
        tsunagu(mesh, "deregister", "endpoint")


def test_another_user_without_keys_is_refused(mesh):
    stranger = boto3.client(
        "servicediscovery",
        **{**mesh.aws(), "aws_secret_access_key": "guessed"},
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        stranger.list_namespaces()
    assert mesh.home.aws_keys.stat().st_mode & 0o777 == 0o600


def test_the_process_may_die_and_the_mesh_notices_nothing(mesh, client):
    before = mesh.aws()
    mesh.kill("web")
    assert mesh.call("http://orders/", from_task="web").status < 500
    deadline = time.monotonic() + 60
    while True:
        try:
            assert client.list_namespaces()["Namespaces"]
            break
        except Exception:  # noqa: BLE001 - botocore's many ways to say that nobody listens
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert mesh.aws() == before


def aws(mesh, *words):
    """What the AWS CLI prints, with the environment that `tsunagu aws env` gives."""
    exported = tsunagu(mesh, "aws", "env")
    script = f'{exported}exec "$@"'
    command = ["bash", "-c", script, "bash", str(Path(sys.prefix, "bin", "aws")), "servicediscovery", *words]
    quiet = {**os.environ, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=quiet)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else {}


@pytest.mark.slow("the AWS CLI takes a second for each of its steps")
def test_the_tutorial_of_cloud_map_with_the_aws_cli(mesh):
    """AWS's tutorial "service discovery with custom attributes": namespace, services, instances, discovery, and all away again."""
    begun = aws(mesh, "create-http-namespace", "--name", "cloudmap-tutorial")
    namespace = aws(mesh, "get-operation", "--operation-id", begun["OperationId"])["Operation"]["Targets"]["NAMESPACE"]
    made = {}
    for name in ("data-service", "app-service"):
        words = ("--name", name, "--description", "of the tutorial", "--namespace-id", namespace)
        made[name] = aws(mesh, "create-service", *words)["Service"]["Id"]
    attributes = "tablename=cloudmap,region=us-east-1"
    words = ("--service-id", made["data-service"], "--instance-id", "data-instance", "--attributes", attributes)
    aws(mesh, "register-instance", *words)
    words = ("--namespace-name", "cloudmap-tutorial", "--service-name", "data-service")
    [found] = aws(mesh, "discover-instances", *words, "--query-parameters", "region=us-east-1")["Instances"]
    assert found["Attributes"]["tablename"] == "cloudmap"
    aws(mesh, "deregister-instance", "--service-id", made["data-service"], "--instance-id", "data-instance")
    for service in made.values():
        aws(mesh, "delete-service", "--id", service)
    gone = aws(mesh, "delete-namespace", "--id", namespace)
    mesh.wait_until(
        lambda: aws(mesh, "get-operation", "--operation-id", gone["OperationId"])["Operation"]["Status"] == "SUCCESS",
        60,
        "the end of the namespace",
    )


def test_a_web_page_is_refused(mesh):
    at = json.loads(mesh.home.aws_endpoint.read_text())
    with socket.create_connection((at["host"], at["port"])) as connection:
        host = f"127.0.0.1:{at['port']}"
        asked = f"POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nContent-Length: 2\r\n\r\n{{}}"
        connection.sendall(asked.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
