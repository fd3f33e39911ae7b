"""Which places outside tasks may call follows from the instances that are registered, and from Externals."""

from types import SimpleNamespace

from tsunagu.model import ids
from tsunagu.v1 import external_pb2, objects_pb2
from tsunagu_node.outside.registered_places import Places
from tsunagu_node.runtime.outside import OutsidePlace


class Known:
    """An informer that has shown these objects once."""

    synced = True

    def __init__(self, kind, bodies):
        made = {f"shop/{name}": ids.make(kind, f"shop/{name}", body) for name, body in bodies.items()}
        self.objects = lambda _: made

    async def follow(self):
        yield SimpleNamespace()


def instances(**attributes):
    bodies = {name: objects_pb2.CloudMapInstance(attributes=given) for name, given in attributes.items()}
    return Known("CloudMapInstance", {f"db/{name}": body for name, body in bodies.items()})


def externals(**addresses):
    return Known("External", {name: external_pb2.External(addresses=given) for name, given in addresses.items()})


async def first(known, outside):
    places = Places(known, outside)
    await places.follow(known)
    return await anext(aiter(places))


async def test_an_instance_with_an_address_is_a_place_healthy_or_not():
    known = instances(
        here={"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": "5432", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"},
        there={"AWS_INSTANCE_IPV4": "192.168.1.5", "AWS_INSTANCE_PORT": "80"},
        nowhere={"key": "value"},
        wrong={"AWS_INSTANCE_IPV4": "0.0.0.0", "AWS_INSTANCE_PORT": "80"},
    )
    assert await first(known, externals()) == {
        OutsidePlace("169.254.88.1", 5432, "127.0.0.1"),
        OutsidePlace("192.168.1.5", 80, "192.168.1.5"),
    }


async def test_an_address_of_an_external_is_a_place_if_it_is_an_ip():
    outside = externals(
        db=["192.0.2.1:5432", "192.0.2.2:5432"], api=["api.example:443"], here=["host.tsunagu.internal:80"]
    )
    assert await first(instances(), outside) == {
        OutsidePlace("192.0.2.1", 5432, "192.0.2.1"),
        OutsidePlace("192.0.2.2", 5432, "192.0.2.2"),
        OutsidePlace("169.254.88.1", 80, "127.0.0.1"),
    }
