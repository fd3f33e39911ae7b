"""The picture of `top` on a terminal."""

from io import StringIO

from rich.console import Console

from tests.unit.signals.specimens import inward, leaving, outward
from tsunagu.cli.commands.traffic import top
from tsunagu.v1 import signals_pb2


def shown(*flows):
    windows = [
        signals_pb2.Window(seconds=10, tasks=1, flow=flow, source=signals_pb2.Source(cluster="default", service="web"))
        for flow in flows
    ]
    console = Console(width=120, file=StringIO())
    console.print(top._picture(windows, 15))
    return console.file.getvalue()


def test_each_table_is_in_the_picture():
    text = shown(
        inward(requests=10, responses_2xx=10), outward(responses_2xx=9, responses_5xx=1), leaving(connections=1)
    )
    assert "the last 15 s" in text
    assert "SERVICE" in text
    assert "CALLER" in text
    assert "LEAVES THE MESH" in text
    assert "90.00 %" in text


def test_no_samples_are_said():
    assert "no samples of the last 15 s" in shown()
