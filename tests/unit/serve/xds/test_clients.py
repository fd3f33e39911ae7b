"""Which streams are one client, and whose ACKs count (docs/adr/0014)."""

from dataclasses import dataclass

from tsunagu.serve.xds.clients import clients, counted


@dataclass(eq=False)
class Stream:
    name: str
    connection: str = ""  # as on a Unix socket
    aggregated: bool = True
    incarnation: int = 0

    def __repr__(self):
        return self.name


def test_streams_of_one_connection_are_one_client():
    aggregated, endpoints = Stream("ads", "ipv4:1"), Stream("eds", "ipv4:1", aggregated=False)
    other = Stream("other", "ipv4:2")

    assert clients([aggregated, other, endpoints]) == [[aggregated, endpoints], [other]]


def test_on_a_unix_socket_an_aggregated_stream_is_a_client_and_those_of_single_types_are_one():
    first, second = Stream("ads 1"), Stream("ads 2")
    clusters, endpoints = Stream("cds", aggregated=False), Stream("eds", aggregated=False)

    assert clients([first, clusters, second, endpoints]) == [[first], [clusters, endpoints], [second]]


def test_all_clients_of_a_name_count_where_it_may_be_anybodys():
    first, second = Stream("first"), Stream("second")

    assert counted([first, second], sole=False) == [[first], [second]]


def test_of_a_task_the_first_client_counts():
    envoy, stranger = Stream("envoy"), Stream("stranger")

    assert counted([envoy, stranger], sole=True) == [[envoy]]


def test_an_envoy_that_was_started_again_counts_whoever_was_there_before():
    stranger, envoy = Stream("stranger", incarnation=1), Stream("envoy", incarnation=2)

    assert counted([stranger, envoy], sole=True) == [[envoy]]


def test_streams_of_single_types_do_not_stand_for_a_task_beside_an_aggregated_one():
    stranger, envoy = Stream("eds", aggregated=False), Stream("envoy")

    assert counted([stranger, envoy], sole=True) == [[envoy]]
    assert counted([stranger], sole=True) == [[stranger]]
