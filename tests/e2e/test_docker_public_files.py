"""Kinds of files that people publish, run unchanged by the docker runtime with small images under the names that they have."""

from pathlib import Path

import pytest

from tests.e2e import public_images
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

FILES = Path(__file__).with_name("public_files")
KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def mesh(engine):
    public_images.make(engine)
    secrets = {"DD_API_KEY": KEY}
    with Mesh(FILES, secrets=secrets, runtime="docker", environment=engine.environment) as running:
        running.wait_steady(120)
        for name in ("orders", "page", "stock"):
            running.publish(name, namespace="public")
        yield running


def test_a_collector_gets_its_command_as_arguments_of_its_images_entry_point(mesh):
    answer = mesh.call("http://orders/checkout").json()
    assert answer == {"exporter": "awsxray", "family": "orders-with-collector", "traces": ["span of /checkout"]}


def test_the_page_that_a_shell_writes_is_served_by_the_images_server(mesh):
    assert "<h1>It serves, from the image.</h1>" in mesh.call("http://page/").text


def test_an_agent_beside_an_app_finds_its_task_and_its_key(mesh):
    answer = mesh.call("http://stock/").json()
    assert answer == {"containers": ["datadog-agent", "stock"], "service": "stock", "key": KEY}


def test_what_they_depend_on_was_healthy_first(mesh):
    for service, sidecar in (("orders", "aws-otel-collector"), ("stock", "datadog-agent")):
        containers = {one.name: one for one in mesh.task(service).task.status.containers}
        assert containers[sidecar].health_status == "HEALTHY"


def test_one_calls_the_other_by_its_short_name(mesh):
    assert "It serves" in mesh.call("http://page/", from_task="stock").text
