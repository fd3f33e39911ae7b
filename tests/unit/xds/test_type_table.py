"""Types by url and by short name; a word that names none is an error."""

import pytest

from tsunagu.xds.resources import CDS, TYPES, ResourceType
from tsunagu.xds.type_table import TypeTable, UnknownType

WORKLOADS = ResourceType("type.googleapis.com/example.Workload", "WORKLOADS", full_state=True)


@pytest.mark.parametrize("name", ["CDS", CDS, CDS.rpartition("/")[2], TYPES[CDS]])
def test_a_type_is_found_by_each_of_its_names(name):
    assert TypeTable().find(name) is TYPES[CDS]


def test_a_type_of_ones_own_is_found_like_the_others():
    table = TypeTable([WORKLOADS])
    assert table.find("WORKLOADS") is table.find(WORKLOADS.url) is table.find(WORKLOADS) is table.of(WORKLOADS.url)
    assert WORKLOADS.url in table
    assert WORKLOADS in list(table)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cds", r"'cds' is no type of resource: is CDS meant\?; the types are CDS, EDS"),
        ("CDSS", "is CDS meant"),
        (CDS[:-1], "is type.googleapis.com/envoy.config.cluster.v3.Cluster meant"),
        ("", "'' is no type of resource; the types are"),
        (WORKLOADS, "example.Workload' is no type of resource"),
    ],
)
def test_a_word_that_names_no_type_is_an_error(name, words):
    with pytest.raises(UnknownType, match=words):
        TypeTable().find(name)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ResourceType(CDS, "MINE"), r"MINE .* is there already, as CDS"),
        (ResourceType("type.googleapis.com/example.Other", "CDS"), r"CDS .* is there already, as CDS"),
        (ResourceType("example.Other", "MINE"), "a type url is type.googleapis.com/PACKAGE.MESSAGE"),
        (ResourceType("type.googleapis.com/example.Other", ""), "a type has a short name"),
    ],
)
def test_a_type_that_is_there_or_is_none_is_refused(kind, words):
    with pytest.raises(ValueError, match=words):
        TypeTable([kind])


def test_what_clients_ask_for_may_be_unknown():
    assert TypeTable().of("type.googleapis.com/example.Other").short == "Other"
