"""The Registry API on a Unix socket, as the control plane serves it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import pytest

from tsunagu.client.registry import RegistryClient
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.api.registry import NAME, RegistryService
from tsunagu.serve.api.server import ApiServer


@dataclass
class Served:
    address: str
    registry: Registry  # in process, behind the API
    informer: Informer
    api: ApiServer
    channel: grpc.aio.Channel
    client: RegistryClient


@asynccontextmanager
async def serving(folder, store, *, followed=True, **options):
    registry = Registry(store)
    informer = Informer(registry, detect_mutations=True)
    service = RegistryService(registry, informer, **options)
    api = ApiServer(folder / "api.sock")
    api.add(NAME, service.register, service.close)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(informer.run()) if followed else None
        await api.start()
        await api.mark_serving()
        address = f"unix:{folder / 'api.sock'}"
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                yield Served(address, registry, informer, api, channel, RegistryClient(channel, timeout=10))
        finally:
            await api.stop(1)
            if following:
                following.cancel()
    informer.check_mutations()


@pytest.fixture
async def serve(tmp_path):
    """`async with serve(history=..., limits=...) as served`: with a store in memory."""

    def with_options(history=1000, **options):
        return serving(tmp_path, MemoryStore(history=history), **options)

    return with_options
