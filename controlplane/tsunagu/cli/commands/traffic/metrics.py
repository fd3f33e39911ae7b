"""`tsunagu metrics SERVICE`: what the service served, who called it, and what it called, for the last minutes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.display import traffic_tables
from tsunagu.cli.durations import parse_duration
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.settings import Home
from tsunagu.signals import cloudwatch
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence


@command
async def metrics(
    home: Home,
    service: Annotated[str, typer.Argument(help="Name of the service, or CLUSTER/SERVICE; may be shortened.")],
    since: Annotated[str, typer.Option("--since", help="How long ago it begins, up to 1h.")] = "10m",
    step: Annotated[str, typer.Option("--step", help="Length of a row's time.")] = "1m",
    output_as: Output = Format.table,
) -> None:
    """Show a service's metrics as CloudWatch names them, beside retries, ejections and response flags."""
    seconds, each = parse_duration(since, "--since"), parse_duration(step, "--step")
    async with connected(home) as link:
        found = await link.find("Service", service)
        request = signals_pb2.WindowsRequest(since=seconds, step=min(each, seconds), service=found.meta.name)
        answer = await link.signals.Windows(request)
    if output_as is not Format.table:
        output.document(output_as, {"metrics": _data(answer.windows), "windows": _windows(answer.windows)})
        return
    if not answer.windows:
        output.notice(f"no samples of {found.meta.name} in the last {since}: that is no data, and not 0")
        return
    output.listing(output_as, [], traffic_tables.HISTORY, traffic_tables.history(answer.windows))


def _data(found: Sequence[signals_pb2.Window]) -> list[dict[str, Any]]:
    """CloudWatch's metrics, each value with its dimensions."""
    return [
        {
            "MetricName": datum.metric.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in datum.dimensions],
            "Timestamp": _time(datum.start),
            "Period": round(datum.end - datum.start, 3),
            "Unit": datum.metric.unit,
            "Statistic": datum.metric.statistic,
            "Value": datum.value,
        }
        for datum in cloudwatch.data(found)
    ]


def _windows(found: Sequence[signals_pb2.Window]) -> list[dict[str, Any]]:
    return [output.as_dict(window) for window in found]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
