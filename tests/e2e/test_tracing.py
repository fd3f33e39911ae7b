"""Traces of real Envoys, as a collector in the mesh gets them (docs/tracing.md).

`front` calls `back`; both tell which traceparent they were given, and `front` passes it on.
"""

import json
import sys
from pathlib import Path

import pytest

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APPS = Path(__file__).with_name("tracing_apps.py")
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{:02x}"  # a trace that an app began; its flags
PATIENCE = 60.0  # Envoy keeps spans for 5 s before it sends them


def app(name, words, port, protocol):
    """A service of one task, whose task definition names the program's words."""
    command = json.dumps([sys.executable, str(APPS), *words])
    mapping = f"{{name: {name}, containerPort: {port}, appProtocol: {protocol}}}"
    return f"""
kind: TaskDefinition
family: {name}
networkMode: awsvpc
containerDefinitions: [{{name: app, image: {name}, command: {command}, portMappings: [{mapping}]}}]
---
kind: Service
serviceName: {name}
taskDefinition: {name}
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: seen
  services: [{{portName: {name}, clientAliases: [{{port: {port}, dnsName: {name}}}]}}]
"""


APPLICATION = "---".join(
    (
        app("front", ["relay", "8000", "http://back:8001/"], 8000, "http"),
        app("back", ["relay", "8001"], 8001, "http"),
        app("otel", ["collect", "4317"], 4317, "grpc"),
    )
)
NAMESPACE = "kind: Namespace\nname: seen\n"
TRACED = NAMESPACE + "tracing: {{collector: otel:4317, samplingPercentage: {}}}\n"


@pytest.fixture(scope="module")
def seen():
    with Mesh() as mesh:
        mesh.apply(text=f"{NAMESPACE}---{APPLICATION}")
        mesh.wait_steady()
        mesh.publish("front:8000")
        yield mesh


def call(mesh, traceparent=""):
    headers = {"traceparent": traceparent} if traceparent else {}
    return mesh.call("http://front:8000/", headers=headers).json()


def spans(mesh, trace=""):
    """All spans that the collector was sent, or those of one trace, by (service, kind)."""
    lines = [json.loads(line) for task in mesh.tasks("otel") for line in mesh.logs(task_id(task), "app")]
    return {(one["service"], one["kind"]): one for one in lines if one["trace"] == trace or not trace}


def trace_of(traceparent):
    return traceparent.split("-")[1]


def sampled(traceparent):
    return traceparent.endswith("-01")


def tasks(mesh):
    return {task.meta.name for task in mesh.tasks() if not task.task.spec.gateway}


def all_spans(mesh, trace):
    wanted = {("front", "server"), ("front", "client"), ("back", "server")}
    mesh.wait_until(lambda: spans(mesh, trace).keys() >= wanted, PATIENCE, "the spans of three proxies' hops")
    return spans(mesh, trace)


def test_without_tracing_no_proxy_touches_a_trace(seen):
    assert call(seen) == {"traceparent": None, "next": {"traceparent": None}}
    assert call(seen, OWN.format(1)) == {"traceparent": OWN.format(1), "next": {"traceparent": OWN.format(1)}}


@pytest.mark.slow("every task is replaced, and Envoy keeps spans for 5 s before it sends them")
def test_tasks_are_replaced_without_a_failure_and_their_hops_are_one_trace(seen):
    before = tasks(seen)
    with seen.load("http://front:8000/", Plan(late=60, rps=50, connections=50)) as load:
        seen.apply(text=TRACED.format(100))
        seen.wait_until(lambda: not before & tasks(seen), PATIENCE, "all tasks to be replaced")
        seen.wait_steady()
        report = load.stop()
    assert report.failed == 0, report
    answer = call(seen)
    assert sampled(answer["traceparent"])
    found = all_spans(seen, trace_of(answer["traceparent"]))
    root, asks, asked = found["front", "server"], found["front", "client"], found["back", "server"]
    assert (root["parent"], asks["parent"], asked["parent"]) == ("", root["span"], asks["span"])
    assert len(found) == 3
    assert asks["upstream_cluster"] == "svc/seen/back"
    assert (asks["http.status_code"], asks["http.method"]) == ("200", "GET")
    assert {one["namespace"] for one in found.values()} == {"seen"}
    assert root["instance"] == asks["instance"] == seen.task("front").meta.name
    assert root["seconds"] >= asks["seconds"] >= asked["seconds"] > 0


def test_a_trace_that_an_app_began_is_joined_and_its_word_on_sampling_kept(seen):
    yes, no = call(seen, OWN.format(1)), call(seen, OWN.format(0))
    assert trace_of(yes["traceparent"]) == trace_of(no["traceparent"]) == trace_of(OWN)
    assert sampled(yes["next"]["traceparent"])
    assert not sampled(no["next"]["traceparent"])
    assert all_spans(seen, trace_of(OWN))["front", "server"]["parent"] == OWN.split("-")[2]


def test_the_collector_traces_no_calls_of_its_own(seen):
    assert not [key for key in spans(seen) if key[0] == "otel"]


def test_the_percentage_changes_without_a_change_of_tasks_or_listeners(seen):
    before = tasks(seen)
    last = seen.timeline()[-1].sequence
    seen.apply(text=TRACED.format(0))
    seen.wait_converged()
    assert not sampled(call(seen)["traceparent"])
    assert sampled(call(seen, OWN.format(1))["traceparent"])
    seen.apply(text=TRACED.format(100))
    seen.wait_converged()
    assert sampled(call(seen)["traceparent"])
    assert tasks(seen) == before
    sent = [event for event in seen.timeline(after=last) if event.kind == "send"]
    assert {event.type for event in sent} == {"RDS"}


@pytest.mark.slow("every task is replaced")
def test_spans_follow_the_collector(seen):
    """Another collector takes the first one's place while tasks run; then there is none, and tasks are replaced."""
    seen.apply(text=app("other", ["collect", "4318"], 4318, "grpc"))
    seen.wait_steady()
    before = tasks(seen)
    seen.apply(text=TRACED.format(100).replace("otel:4317", "other:4318"))
    seen.wait_converged()
    assert tasks(seen) == before
    trace = trace_of(call(seen)["traceparent"])

    def arrived():
        lines = [json.loads(line) for line in seen.logs("other", "app")]
        return [line for line in lines if line["trace"] == trace]

    seen.wait_until(lambda: len(arrived()) == 3, PATIENCE, "spans at the other collector")
    seen.apply(text=NAMESPACE)
    seen.wait_until(lambda: not before & tasks(seen), PATIENCE, "all tasks to be replaced")
    seen.wait_steady()
    assert call(seen, OWN.format(1)) == {"traceparent": OWN.format(1), "next": {"traceparent": OWN.format(1)}}
