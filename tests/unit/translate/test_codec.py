"""What translation builds becomes resources: encoded, packed, counted."""

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.google.protobuf import Any
from pydantic import ValidationError

from tsunagu.translate.codec import Codec, pack
from tsunagu.xds.resources import CDS, EDS


def test_an_any_is_the_librarys():
    cluster = Cluster(name="x")
    assert pack(cluster) == Any.pack(cluster)


def test_others_messages_are_validated_as_ever():
    cluster = Cluster(name="x")
    pack(cluster)
    cluster.name = 5
    with pytest.raises(ValidationError):
        bytes(cluster)


@pytest.mark.case(131)
def test_it_counts_what_it_encodes():
    codec = Codec()
    first = codec.resource(CDS, "x", Cluster(name="x"))
    assert first == codec.resource(CDS, "x", Cluster(name="x"))
    codec.raw(EDS, "x", b"\n\x01x")
    assert codec.encoded == {CDS: 2, EDS: 1}
