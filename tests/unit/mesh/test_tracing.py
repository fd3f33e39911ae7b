"""Which proxies trace, how many requests, and where spans go."""

import pytest

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.v1 import objects_pb2
from tsunagu.xds.resources import EDS, LDS, RDS

OLD, NEW = "default/web/a1", "default/web/b2"
PORT = o.port("web", aliases=[("web", 80)])


def put(*objects):
    return [(ids.kind_of(one), one.meta.name, None, one) for one in objects]


def gone(kind, name):
    return [(kind, name, None, None)]


def namespace(collector="otel:4317", percentage=None):
    made = o.namespace()
    if collector:
        made.namespace.tracing.CopyFrom(objects_pb2.Tracing(collector=collector, sampling_percentage=percentage))
    return made


def traced(name, port=PORT):
    made = o.revision(name, port)
    made.service_revision.tracing = True
    return made


def collector(ip="10.9.0.9"):
    """The service at otel:4317, with one task."""
    port = o.port("otlp", app_protocol="grpc", container_port=4317, aliases=[("otel", 4317)])
    return (
        o.service("default/otel", "c1"),
        o.revision("default/otel/c1", port),
        o.task("default/otel-1", "default/otel/c1", ip),
        o.address("otel", "127.255.0.9"),
    )


@pytest.fixture
def before():
    """A service whose task was deployed before its namespace had tracing."""
    objects = o.node(), o.service("default/web", "a1"), o.revision(OLD, PORT), o.task("default/web-1", OLD, "10.9.0.2")
    return View.empty().apply(put(o.namespace(), *objects, o.address("web", "127.255.0.1")), 1)[0]


def deployed(view, *more):
    """Its next revision traces, and has a task."""
    task = o.task("default/web-2", NEW, "10.9.0.3")
    return view.apply(put(namespace(), o.service("default/web", "b2"), traced(NEW), task, *more), 2)[0]


def endpoints(view):
    """(IP, port) of where spans go."""
    return tuple(one for locality in view.collectors("shop") for one in locality.endpoints)


def difference(old, changes):
    """(bundle, type, name) of all that is upserted, and of all that is removed."""
    new, touched = old.apply(changes, old.revision + 1)
    made = translate(old, new, touched, Codec())
    upserted = {(update.bundle, one.type_url, one.name) for update in made for one in update.upserts}
    return new, upserted, {(update.bundle, *one) for update in made for one in update.removals}


def test_only_tasks_that_were_deployed_to_trace_see_listeners_that_do(before):
    after = deployed(before)
    assert after.scope("default/web-1") == ("override/shop", "ns/shop", f"rev/{OLD}")
    assert after.scope("default/web-2") == ("override/shop", "traced/shop", "ns/shop", f"rev/{NEW}")


def test_a_collector_alone_changes_nothing_for_proxies(before):
    view, upserted, removed = difference(before, put(namespace()))
    assert (upserted, removed) == (set(), set())
    assert view.sampling("shop", "web") is None


def test_the_first_task_that_traces_changes_no_listener_of_others(before):
    _, upserted, removed = difference(before, put(namespace(), o.service("default/web", "b2"), traced(NEW)))
    listeners = {(bundle, name) for bundle, kind, name in upserted if kind == LDS}
    assert listeners == {("traced/shop", "alias/shop/web:80"), (f"rev/{NEW}", f"in/{NEW}/web")}
    assert not removed


@pytest.mark.parametrize(("written", "expected"), [(None, 100.0), (0.0, 0.0), (12.5, 12.5)])
def test_the_percentage(before, written, expected):
    view = deployed(before).apply(put(namespace(percentage=written)), 3)[0]
    assert view.sampling("shop", "web") == expected


def test_another_percentage_changes_routes_alone(before):
    _, upserted, removed = difference(deployed(before), put(namespace(percentage=1)))
    assert upserted == {("ns/shop", RDS, "alias/shop/web:80"), (f"rev/{NEW}", RDS, f"in/{NEW}/web")}
    assert not removed


def test_calls_of_the_collector_begin_no_trace(before):
    view = deployed(before, *collector())
    assert view.sampling("shop", "otlp") == 0
    assert view.sampling("shop", "web") == 100


def test_spans_go_to_the_tasks_at_the_collectors_name_and_follow_them(before):
    view = deployed(before)
    assert endpoints(view) == ()
    view, upserted, _ = difference(view, put(*collector()))
    assert endpoints(view) == (("10.9.0.9", 4317),)
    assert ("traced/shop", EDS, "collector") in upserted
    view, upserted, _ = difference(view, put(o.task("default/otel-1", "default/otel/c1", "10.9.0.8")))
    assert endpoints(view) == (("10.9.0.8", 4317),)
    assert upserted == {("traced/shop", EDS, "collector"), ("ns/shop", EDS, "svc/shop/otlp")}


@pytest.mark.parametrize(
    ("written", "expected"), [("10.1.2.3:4318", (("10.1.2.3", 4318),)), ("[fd00::1]:4317", (("fd00::1", 4317),))]
)
def test_a_collector_outside_of_the_mesh(before, written, expected):
    view, upserted, _ = difference(deployed(before), put(namespace(written)))
    assert endpoints(view) == expected
    assert upserted == {("traced/shop", EDS, "collector")}


def test_without_a_collector_tasks_that_trace_begin_none(before):
    view, upserted, removed = difference(deployed(before, *collector()), put(namespace("")))
    assert view.sampling("shop", "web") == 0
    assert endpoints(view) == ()
    assert not {one for one in upserted if one[1] == LDS}
    assert not removed


def test_with_the_last_task_that_traces_its_listeners_go(before):
    view = deployed(before).apply(put(o.service("default/web", "a1")), 3)[0]
    assert view.traces("shop")
    view, upserted, removed = difference(view, gone("Task", "default/web-2"))
    assert not view.traces("shop")
    assert {bundle for bundle, *_ in removed} == {"traced/shop", f"rev/{NEW}"}
    assert upserted == {("ns/shop", RDS, "alias/shop/web:80"), ("ns/shop", EDS, "svc/shop/web")}
