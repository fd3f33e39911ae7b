"""The tables of `top` and `metrics`: what is not known is "-", what failed is red, and flags come with their counts."""

from tests.unit.signals.specimens import flag, inward, leaving, outward
from tsunagu.cli.display import traffic_tables
from tsunagu.v1 import signals_pb2


def window(flow, service="web", seconds=10.0, **source):
    return signals_pb2.Window(
        start=0,
        end=60,
        seconds=seconds,
        tasks=2,
        flow=flow,
        source=signals_pb2.Source(cluster="default", service=service, **source),
    )


def texts(rows):
    return [[str(getattr(cell, "text", cell)) for cell in row] for row in rows]


def test_a_service_s_row():
    flow = inward(requests=100, responses_2xx=99, responses_5xx=1, latency={5: 90, 250: 10}, active_connections=3)
    [row] = texts(traffic_tables.services([window(flow, "api"), window(outward())]))
    assert row == ["api", "api", "2", "10.0/s", "99.00 %", "5 ms", "259 ms", "3", "-", "-", "-"]


def test_nothing_asked_has_no_success_and_no_latency():
    [row] = texts(traffic_tables.services([window(inward(), "api")]))
    assert row[3:8] == ["0.0/s", "-", "-", "-", "-"]


def test_an_edge_s_row():
    flow = outward(
        responses_2xx=6,
        responses_5xx=4,
        retries=5,
        ejections_active=1,
        flags=[flag("URX", 503, 1, "connection_refused"), flag("UF,URX", 503, 3), flag("", 500, 7)],
    )
    [row] = traffic_tables.edges([window(flow), window(inward())])
    assert texts([row])[0] == [
        "web",
        "api",
        "1.0/s",
        "60.00 %",
        "-",
        "-",
        "-",
        "5",
        "1",
        "UF,URX 3, URX (connection_refused) 1",
    ]
    assert row[3].style == "red"


def test_a_gateway_and_a_call_to_no_cluster():
    flow = outward(name="", flags=[flag("NC", 503, 2)])
    [row] = texts(traffic_tables.edges([window(flow, service="", gateway="front")]))
    assert row[:2] == ["gateway front", "(no cluster)"]
    assert row[3] == "0.00 %"


def test_history_says_which_way():
    given = [window(inward(responses_2xx=2, bytes_sent=2048), "api"), window(outward(responses_4xx=1), "web")]
    first, second = texts(traffic_tables.history(given))
    assert (first[1], first[2], first[3], first[11]) == ("serves api", "2", "2", "2.0 KiB")
    assert (second[1], second[5]) == ("web calls api", "1")


def test_what_leaves_the_mesh_has_a_row_of_its_service_with_the_reasons_of_refusals():
    flow = leaving({"unreachable": 1, "not-named": 12}, connections=20, active_connections=3, bytes_sent=2048)
    [row] = traffic_tables.leaving([window(flow), window(inward()), window(outward())])
    assert texts([row])[0] == ["web", "2.0/s", "3", "2.0 KiB", "0 B", "not-named 12, unreachable 1"]
    assert row[5].style == "red"
    assert traffic_tables.services([window(flow)]) == traffic_tables.edges([window(flow)]) == []


def test_tasks_of_no_service_are_said_and_nothing_refused_is_no_number():
    [row] = texts(traffic_tables.leaving([window(leaving(connections=1), service="")]))
    assert row == ["(no service)", "0.1/s", "-", "0 B", "0 B", "-"]


def test_history_tells_what_left_and_what_was_refused():
    given = [window(leaving({"own-port": 2}, connections=3, bytes_sent=1024)), window(inward(access_refused=4))]
    left, served = texts(traffic_tables.history(given))
    assert (left[1], left[2], left[11], left[14]) == ("web leaves the mesh", "3", "1.0 KiB", "own-port 2")
    assert served[14] == "4"
