"""Which places outside tasks may call follows from the instances that are registered."""

from types import SimpleNamespace

from tsunagu.model import ids
from tsunagu.v1 import objects_pb2
from tsunagu_node.outside import places
from tsunagu_node.runtime.contract import OutsidePlace


class Instances:
    """An informer that has shown these objects once."""

    def __init__(self, **attributes):
        made = {
            name: ids.make("CloudMapInstance", f"shop/db/{name}", objects_pb2.CloudMapInstance(attributes=given))
            for name, given in attributes.items()
        }
        self.objects = lambda _: made

    async def follow(self):
        yield SimpleNamespace()


async def test_an_instance_with_an_address_is_a_place_healthy_or_not():
    known = Instances(
        here={"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": "5432", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"},
        there={"AWS_INSTANCE_IPV4": "192.168.1.5", "AWS_INSTANCE_PORT": "80"},
        nowhere={"key": "value"},
        wrong={"AWS_INSTANCE_IPV4": "0.0.0.0", "AWS_INSTANCE_PORT": "80"},
    )
    [found] = [wanted async for wanted in places(known)]
    assert found == {OutsidePlace("169.254.88.1", 5432, "127.0.0.1"), OutsidePlace("192.168.1.5", 80, "192.168.1.5")}
