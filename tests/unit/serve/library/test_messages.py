"""Messages of any library as resources: what they are and what they are called is read from themselves."""

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Address
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tsunagu.serve.library.messages import NotAResource, resource
from tsunagu.v1 import endpoint_pb2, objects_pb2
from tsunagu.xds.resources import CDS, EDS, RDS, Resource


def official(name, *fields):
    """A class as protoc makes them, of a message with these string fields."""
    package, _, short = name.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    message = file.message_type.add(name=short)
    for number, field in enumerate(fields, 1):
        message.field.add(name=field, number=number, type="TYPE_STRING", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def test_a_message_of_envoy_data_plane():
    message = Cluster(name="api", alt_stat_name="x")
    made = resource(message)
    assert (made.type_url, made.name, made.body) == (CDS, "api", bytes(message))
    assert made == resource(Cluster(name="api", alt_stat_name="x"))


def test_a_message_of_official_protobuf():
    message = official("envoy.config.route.v3.RouteConfiguration", "name")(name="front")
    made = resource(message)
    assert (made.type_url, made.name, made.body) == (RDS, "front", b"\x0a\x05front")


def test_our_own_fast_endpoints():
    made = resource(endpoint_pb2.ClusterLoadAssignment(cluster_name="api"))
    assert (made.type_url, made.name) == (EDS, "api")


def test_a_resource_is_one_already():
    made = Resource.of(CDS, "api", b"\x0a\x03api")
    assert resource(made) is made


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x0a\x03api", r"bytes does not say what type of resource it is: use Resource.of"),
        (Address(), r"envoy.config.core.v3.Address is no resource of xDS; those are Cluster, ClusterLoadAssignment"),
        (objects_pb2.Namespace(), r"tsunagu.v1.Namespace is no resource"),
        (Cluster(), r"a Cluster without a name: clients would have nothing to ask for"),
        (official("envoy.config.cluster.v3.Cluster", "name")(), r"a Cluster without a name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_resource_is_refused_with_the_reason(message, words):
    with pytest.raises(NotAResource, match=words):
        resource(message)
