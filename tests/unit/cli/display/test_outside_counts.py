"""What `describe` shows of calls that left the mesh."""

from tsunagu.cli.display.outside_counts import cells
from tsunagu.v1 import node_pb2


def test_what_was_carried_and_what_was_refused_are_rows():
    counts = node_pb2.OutsideCounts(opened=3, active=1, sent=10, received=2000)
    counts.places.add(ip="169.254.88.1", port=9901, reason="own-port", count=2)
    assert cells("web-1", counts) == [
        ["web-1", "all", "3", "1", "10", "2000"],
        ["web-1", "169.254.88.1:9901", "2 refused: own-port", "", "", ""],
    ]


def test_who_called_nobody_outside_has_no_row():
    assert cells("web-1", node_pb2.OutsideCounts()) == []
