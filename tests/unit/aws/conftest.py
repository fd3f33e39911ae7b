"""A cloud for each module, a client in each protocol, and a namespace of each test's own."""

import uuid

import pytest

from tests.unit.aws.cloud import PROTOCOLS, Cloud, made


@pytest.fixture(scope="module")
def cloud():
    with Cloud() as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(cloud, request):
    return cloud.client(request.param)


@pytest.fixture
def name(cloud):
    """A name of this test's own; what begins with it is gone after the test."""
    own = f"n{uuid.uuid4().hex[:8]}"
    yield own
    cloud.clear(own)


@pytest.fixture
def namespace(client, name):
    """The ID of an HTTP namespace."""
    return made(client, client.create_http_namespace(Name=name))


@pytest.fixture
def owner(client, namespace):
    """The ID of a service with custom health."""
    return client.create_service(Name="api", NamespaceId=namespace, HealthCheckCustomConfig={})["Service"]["Id"]
