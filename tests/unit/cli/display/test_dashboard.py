import io

import pytest
from rich.console import Console

from tsunagu.cli import output
from tsunagu.cli.display import dashboard
from tsunagu.model import ids
from tsunagu.v1 import inspector_pb2, objects_pb2


class Seen:
    """An informer of fixed objects."""

    def __init__(self, *objects):
        self.state = {kind: {} for kind in ids.KINDS}
        for obj in objects:
            self.state[ids.kind_of(obj)][obj.meta.name] = obj


@pytest.fixture
def seen():
    service = objects_pb2.Service()
    service.spec.service_name = "web"
    service.status.MergeFrom(objects_pb2.ServiceStatus(desired_count=2, running_count=1, rollout_state="IN_PROGRESS"))
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(service="web", desired_status="RUNNING"))
    task.status.last_status = "RUNNING"
    return Seen(ids.make("Service", "default/web", service), ids.make("Task", "default/web-1", task))


def drawn(live):
    console = Console(width=160, file=io.StringIO())
    console.print(live.picture())
    return console.file.getvalue()


def test_the_picture_has_services_tasks_and_proxies(seen):
    live = dashboard.LiveView()
    proxy = inspector_pb2.Proxy(name="default/web-1", connected=True, variant="delta")
    proxy.types.add(type="CDS", state="NACKED", age_seconds=3, error="no such\nthing")
    with live.shown(seen):
        live.show_proxies([proxy])
        text = drawn(live)
    assert [word in text for word in ("default/web", "1/2", "IN_PROGRESS", "web-1", "RUNNING", "NACKED for 3.0s")] == [
        True
    ] * 6
    assert "CDS: no such thing" in text


def test_plain_lines_have_the_time_of_day(capsys):
    dashboard.PlainView().notify("task web-1 is running", "green")
    assert dashboard.stamped(dashboard.Line("x"))[2:3] == ":"
    assert capsys.readouterr().out.endswith("  task web-1 is running\n")


def test_what_happens_stays_above_the_picture(seen, capsys):
    live = dashboard.LiveView()
    with live.shown(seen):
        live.notify("serve is started again [42]", "red")
    assert "serve is started again [42]" in capsys.readouterr().out


def test_a_pipe_gets_plain_lines(capsys):
    assert type(dashboard.make()) is dashboard.PlainView


@pytest.mark.parametrize(("height", "has_proxies"), [(24, True), (14, False)])
def test_a_low_terminal_leaves_lines_to_what_happens(seen, monkeypatch, height, has_proxies):
    monkeypatch.setenv("LINES", str(height))
    live = dashboard.LiveView()
    with live.shown(seen):
        live.show_proxies([inspector_pb2.Proxy(name="default/web-1", connected=True, variant="delta")])
        assert ("PROTOCOL" in drawn(live)) == has_proxies


TITLES = ("TASK", "OF", "STATUS", "WANTED", "NODE", "WHY NOT RUNNING")


def cells(*rows):
    return [[output.Cell(text) for text in row] for row in rows]


@pytest.mark.parametrize(
    ("width", "why", "kept"),
    [
        (80, "", TITLES),
        (60, "", ("TASK", "OF", "STATUS", "WANTED", "NODE")),
        (50, "", ("TASK", "OF", "STATUS", "WANTED")),
        (80, "its container exited " * 9, ("TASK", "OF", "STATUS", "WANTED", "WHY NOT RUNNING")),
        (1, "", ("TASK", "STATUS")),
    ],
    ids=["fits", "the empty first", "then what can be spared", "words go on below", "what counts stays"],
)
def test_a_narrow_terminal_does_without_columns_and_keeps_names_whole(width, why, kept):
    row = ("inventory-3fe07325", "inventory", "RUNNING", "RUNNING", "laptop", why)
    titles, rows = output.fitting(TITLES, cells(row), width)
    assert (tuple(titles), [len(one) for one in rows]) == (kept, [len(kept)])
    console = Console(width=max(width, 48), file=io.StringIO())
    console.print(output.rich_table(titles, rows))
    assert "inventory-3fe07325" in console.file.getvalue()
