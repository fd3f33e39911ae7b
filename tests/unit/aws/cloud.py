"""An AWS endpoint over a registry in memory, in a thread of its own, and boto3 clients for it that check every reply.

Rule: what a client is answered is held against botocore's model: its types, and no member that the model does not have.
"""

import asyncio
import contextlib
import threading
import types

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.validate import ParamValidator

from tsunagu.aws.cloud_map import table
from tsunagu.aws.cloud_map.world import World
from tsunagu.aws.endpoint import Endpoint
from tsunagu.aws.process import listening
from tsunagu.aws.signatures.keys import KeyPair
from tsunagu.kit import http_server
from tsunagu.model import ids
from tsunagu.model.errors import ManifestError
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import inspector_pb2

PAIR = KeyPair("AKIATESTTESTTESTTEST", "secret/of+the+tests")
PROTOCOLS = ("json", "smithy-rpc-v2-cbor")


class ValidatingRegistry(Registry):
    """A registry that refuses what the control plane's API refuses."""

    def __init__(self, store):
        super().__init__(store)
        self.informer = None

    async def batch(self, changes):
        puts = [change.obj for change in changes if isinstance(change, PutObject)]
        deletes = [(change.kind, change.name) for change in changes if not isinstance(change, PutObject)]
        if issues := check_batch(puts, deletes, self.informer.state):
            raise ManifestError(issues)
        return await super().batch(changes)


class FakeInspector:
    """Its proxies have acknowledged everything, unless `lagging`."""

    lagging = False

    async def Wait(self, request, timeout):
        return inspector_pb2.WaitResponse(converged=not self.lagging, revision=request.revision)


class Cloud:
    """`with Cloud() as cloud`: `cloud.registry` behind `cloud.url`; `cloud.put(objects)` is what the mesh itself writes."""

    def __init__(self):
        self.inspector = FakeInspector()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="cloud")

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.registry = ValidatingRegistry(MemoryStore())
        informer = Informer(self.registry, detect_mutations=True)
        self.registry.informer = informer
        self.world = World(self.registry, self.inspector, informer)
        listener = listening("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.endpoint = Endpoint([table.service(self.world)], PAIR, ("127.0.0.1", self.port))
        async with asyncio.TaskGroup() as group:
            work = (informer.run(), self.world.run(), http_server.serve(listener, self.endpoint.handle, "aws"))
            tasks = [group.create_task(each) for each in work]
            self._ready.set()
            await self._stop.wait()
            for task in tasks:
                task.cancel()
        informer.check_mutations()

    @property
    def url(self):
        """As `tsunagu aws env` tells it."""
        return f"http://tsunagu@127.0.0.1:{self.port}"

    def put(self, *objects):
        """Put objects as the mesh does, and return when the endpoint shows them."""

        async def work():
            for obj in objects:
                revision = await self.registry.put(obj)
            await self.world.informer.wait_revision(revision)

        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    def clear(self, prefix):
        """Delete whatever begins with this."""

        async def work():
            found, _ = await self.registry.list()
            for obj in found:
                if obj.meta.name.startswith(prefix):
                    revision = await self.registry.delete(ids.kind_of(obj), obj.meta.name)
                    await self.world.informer.wait_revision(revision)

        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    def client(self, protocol="json", region="us-east-1"):
        """A boto3 client of Cloud Map that speaks the protocol, retries nothing and checks replies."""
        client = _session(protocol, region).client(
            "servicediscovery",
            endpoint_url=self.url,
            aws_access_key_id=PAIR.access_key_id,
            aws_secret_access_key=PAIR.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("after-call.servicediscovery", _check_reply)
        return client


def _session(protocol, region):
    session = boto3.Session(region_name=region)
    loader: Loader = session._session.get_component("data_loader")
    load = loader.load_service_model

    def only(_, name, kind, api_version=None):
        model = load(name, kind, api_version)
        if name == "servicediscovery" and kind == "service-2":
            model = {**model, "metadata": {**model["metadata"], "protocols": [protocol], "protocol": protocol}}
        return model

    loader.load_service_model = types.MethodType(only, loader)
    return session


def _check_reply(parsed, model, **_):
    if "Error" in parsed:
        return
    told = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    if model.output_shape is None:
        assert told == {}
        return
    for namespace in [told.get("Namespace"), *told.get("Namespaces", ())]:
        if namespace and namespace["Type"] == "HTTP":  # AWS itself sends an SOA without its TTL for these
            assert namespace["Properties"]["DnsProperties"].pop("SOA") == {}
    report = ParamValidator().validate(told, model.output_shape)
    assert not report.has_errors(), report.generate_report()


@contextlib.contextmanager
def refused(code):
    """The block is refused with that code; yields an object that has the error afterwards: its members, message and status."""
    found = types.SimpleNamespace()
    with pytest.raises(ClientError) as caught:
        yield found
    found.error = caught.value.response
    assert found.error["Error"]["Code"] == code, caught.value
    found.message = found.error["Error"]["Message"]
    found.status = found.error["ResponseMetadata"]["HTTPStatusCode"]


def made(client, answer, target="NAMESPACE"):
    """What an operation that has succeeded made."""
    operation = client.get_operation(OperationId=answer["OperationId"])["Operation"]
    assert operation["Status"] == "SUCCESS"
    return operation["Targets"][target]


def register(client, owner, instance, **attributes):
    return client.register_instance(ServiceId=owner, InstanceId=instance, Attributes=attributes)
