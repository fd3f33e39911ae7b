"""Validation is off for what translation encodes, and for nothing else."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from pydantic import ValidationError

from controlplane.translate.codec import Codec, validation
from controlplane.xds.resources import CDS, EDS


def wrong_cluster():
    cluster = Cluster(name="x")
    cluster.name = 5
    return cluster


def test_others_messages_are_validated_before_and_after_ours():
    with pytest.raises(ValidationError):
        bytes(wrong_cluster())
    with Codec().session(), pytest.raises(AttributeError):
        bytes(wrong_cluster())  # not validated: it fails where a string is encoded
    with pytest.raises(ValidationError):
        bytes(wrong_cluster())


def test_a_codec_may_validate():
    with Codec(validate=True).session(), pytest.raises(ValidationError):
        bytes(wrong_cluster())


def test_other_threads_are_not_concerned():
    with validation(on=False), ThreadPoolExecutor(1) as pool, pytest.raises(ValidationError):
        pool.submit(lambda: bytes(wrong_cluster())).result()


def test_warning_filters_of_the_process_are_left_alone():
    before = list(warnings.filters)
    seen = []

    class Cluster2(Cluster):
        def __bytes__(self):
            seen.append(warnings.filters == before)
            return super().__bytes__()

    with Codec().session():
        bytes(Cluster2(name="x"))
    assert seen == [True]


@pytest.mark.case(131)
def test_it_counts_what_it_encodes():
    codec = Codec()
    first = codec.resource(CDS, "x", Cluster(name="x"))
    assert first == codec.resource(CDS, "x", Cluster(name="x"))
    codec.raw(EDS, "x", b"")
    assert codec.encoded == {CDS: 2, EDS: 1}
