"""A deployment in a line: what is known of both sides, and nothing of what is not."""

import pytest

from tests.unit.controllers.fleet import alarm
from tests.unit.controllers.world import NEW, NOW, OLD, service, task
from tsunagu.cli.display.deployment import Side, line, sides
from tsunagu.model import ids
from tsunagu.signals.windows import Seen
from tsunagu.v1 import deployments_pb2, signals_pb2


def deployment(**members):
    body = deployments_pb2.ServiceDeployment(
        status="IN_PROGRESS", lifecycle_stage="SCALE_UP", target_revision=NEW, source_revision=OLD
    )
    body.MergeFrom(deployments_pb2.ServiceDeployment(**members))
    body.created_at.seconds = int(NOW)
    return ids.make("ServiceDeployment", "default/orders/7", body)


def test_it_counts_the_tasks_that_are_to_run_of_both_revisions_with_their_weights():
    found = service(2)
    found.service.status.traffic.weights.add(revision=OLD, weight=950)
    found.service.status.traffic.weights.add(revision=NEW, weight=50)
    tasks = [
        *(task(0, revision=OLD), task(1, "RUNNING", revision=OLD, desired=False)),
        *(task(2), task(3, "PENDING"), task(4, "STOPPED")),
    ]
    said = line(deployment(), sides(found, deployment(), tasks), NOW + 3)
    assert said == "3 s  SCALE_UP; source 1 RUNNING, 95 %; target 1 RUNNING, 1 starting, 5 %"


def test_how_a_revision_answers_is_told_once_there_are_samples():
    flow = signals_pb2.Flow(direction="ingress", responses_2xx=9, responses_5xx=1, protocol="http")
    flow.latency.lower_us.append(2000)
    flow.latency.counts.append(10)
    target = Side(NEW, 1, 0, None, Seen(flow, 10.0, 1))
    said = line(deployment(), (Side(OLD, 1, 0, None), target), NOW)
    assert said.startswith("0 s  SCALE_UP; source 1 RUNNING; target 1 RUNNING, errors 10.0 %, p50 2.")


def test_failures_in_a_row_and_the_end_are_told():
    over = deployment(status="STOPPED", circuit_breaker={"failure_count": 3, "threshold": 3})
    over.service_deployment.finished_at.seconds = int(NOW) + 9
    said = line(over, (Side("", 0, 0, None), Side(NEW, 0, 2, None)), NOW + 500)
    assert said == "9 s  STOPPED; target 0 RUNNING, 2 starting; 3 of 3 failures"


def test_what_is_waited_for_is_told_with_the_time_and_what_happens_then():
    hooks = [
        {"target_type": "PAUSE", "lifecycle_stage": "POST_SCALE_UP", "timeout_action": "ROLLBACK"},
        {
            "target_type": "AWS_LAMBDA",
            "target_arn": "arn:aws:lambda:::function:check",
            "lifecycle_stage": "POST_SCALE_UP",
        },
    ]
    found = deployment(service="orders", lifecycle_hooks=hooks)
    found.service_deployment.lifecycle_hooks[1].timeout_action = "CONTINUE"
    for hook in found.service_deployment.lifecycle_hooks:
        hook.expires_at.seconds = int(NOW) + 60
    said = line(found, (Side("", 0, 0, None), Side(NEW, 0, 0, None)), NOW)
    assert (
        "is paused at POST_SCALE_UP for `tsunagu deployment continue orders` (until 2027-01-15T08:01:00Z, then R"
        in said
    )
    assert said.endswith("waits for hook check at POST_SCALE_UP (until 2027-01-15T08:01:00Z, then CONTINUE)")


def test_the_alarms_by_which_it_may_go_back_are_told_with_their_states():
    found = deployment(alarms={"status": "MONITORING"})
    watched = [
        alarm("errors", "OK", deployment=7),
        alarm("times", "OK", deployment=6),
        alarm("all", "ALARM", of_target=False),
    ]
    said = line(found, (Side("", 0, 0, None), Side(NEW, 0, 0, None)), NOW, watched)
    assert said.endswith("; alarm errors OK; alarm times INSUFFICIENT_DATA; alarm all ALARM")


def test_that_no_alarm_is_looked_at_is_told():
    found = deployment(alarms={"status": "DISABLED", "ignored_alarm_names": ["errors"]})
    said = line(found, (Side("", 0, 0, None), Side(NEW, 0, 0, None)), NOW, [alarm("errors", "ALARM")])
    assert said.endswith("; no alarm is looked at: errors was in ALARM when it began")


@pytest.mark.parametrize(
    ("stage", "step", "ago", "left"),
    [
        ("SCALE_UP", 0, 5, 900),
        ("PRODUCTION_TRAFFIC_SHIFT", 0, 60, 840),
        ("BAKE_TIME", 1, 100, 200),
        ("CLEAN_UP", 1, 0, 0),
    ],
)
def test_the_time_that_bakes_take_is_told(stage, step, ago, left):
    found = deployment(
        lifecycle_stage=stage, step=step, configuration={"strategy": "CANARY", "bake_time_in_minutes": 5}
    )
    body = found.service_deployment
    body.stage_since.seconds = int(NOW)
    body.created_at.seconds = int(NOW)
    said = line(found, (Side("", 0, 0, None), Side(NEW, 0, 0, None)), NOW + ago)
    assert said.startswith(f"{ago} s, {left} s of bakes left  {stage}" if left else f"{ago} s  {stage}")
