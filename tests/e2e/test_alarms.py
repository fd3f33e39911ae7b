"""Deployments that are watched by alarms, in real traffic: a bad version goes back, and silence is never taken for good news."""

import time
from math import sqrt
from pathlib import Path

import pytest

from benchmarks.deployed import present
from tests.e2e.commands import tsunagu
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APP = Path(__file__).with_name("failing_app.py")
SHARE = 0.05
GET = b"GET / HTTP/1.0\r\n\r\n"

SERVICES = """
kind: Namespace
name: shop
---
serviceName: web
taskDefinition: web
desiredCount: 1
deploymentConfiguration:
  strategy: CANARY
  canaryConfiguration: {canaryPercent: 5.0}
  alarms: {alarmNames: [web-errors], enable: true, rollback: true}
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: port, discoveryName: web, clientAliases: [{port: 80, dnsName: web}]}]
---
serviceName: db
taskDefinition: db
desiredCount: 1
deploymentConfiguration:
  strategy: CANARY
  canaryConfiguration: {canaryPercent: 20.0}
  alarms: {alarmNames: [db-errors], enable: true, rollback: true}
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: port, discoveryName: db, clientAliases: [{port: 5432, dnsName: db}]}]
"""


def definition(service, version, fails=0, deaf=""):
    protocol = "appProtocol: http" if service == "web" else ""
    deaf = f', {{name: DEAF, value: "{deaf}"}}' if deaf else ""
    return f"""
family: {service}
containerDefinitions:
- name: app
  image: app
  command: ["python3", "{APP}", "8080"]
  portMappings: [{{name: port, containerPort: 8080, {protocol}}}]
  environment: [{{name: VERSION, value: "{version}"}}, {{name: FAILS, value: "{fails}"}}{deaf}]
"""


def alarm(service, periods=1, period=10, treated="missing"):
    return f"""
kind: Alarm
AlarmName: {service}-errors
Namespace: AWS/ECS
MetricName: ErrorRate
Statistic: Average
Dimensions: [{{Name: ServiceName, Value: {service}}}, {{Name: ServiceRevision, Value: TARGET}}]
Period: {period}
EvaluationPeriods: {periods}
TreatMissingData: {treated}
Threshold: 5
ComparisonOperator: GreaterThanThreshold
"""


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as made:
        parts = [SERVICES, definition("web", 1), definition("db", 1), alarm("web"), alarm("db")]
        made.apply(text="\n---\n".join(parts))
        made.wait_steady()
        for alias, port in (("web", 80), ("db", 5432)):
            made.publish(alias, port)
        yield made


def deploy(mesh, service, text, bake="10m"):
    mesh.apply(text=text)
    tsunagu(mesh, "deploy", service, "--task-definition", service, "--bake", bake, "--no-follow")


def until_over(mesh, service, timeout=90):
    mesh.wait_until(lambda: "IN_PROGRESS" not in present(mesh, service).status, timeout, "the deployment's end")
    return present(mesh, service)


def reached(mesh, service, stage):
    mesh.wait_until(lambda: present(mesh, service).lifecycle_stage == stage, 60, stage)


def state(mesh, name):
    return mesh.get("Alarm", name).alarm.status


def version(response):
    return response.text.strip()


@pytest.mark.slow("a deployment until its alarm sees enough of it")
def test_a_version_with_ten_percent_errors_goes_back_by_its_alarm_and_callers_saw_no_more_of_it_than_its_share(mesh):
    with mesh.load("http://web/", Plan(rps=200, connections=20, label=version)) as load:
        before = load.report().requests
        deploy(mesh, "web", definition("web", "bad", fails=10))
        while present(mesh, "web").lifecycle_stage != "PRODUCTION_TRAFFIC_SHIFT":
            before = load.report().requests
        found = until_over(mesh, "web")
        mesh.wait_converged()
        seen = load.report()
    assert found.status == "ROLLBACK_SUCCESSFUL"
    assert found.status_reason.startswith("alarm web-errors is in ALARM: ErrorRate was ")
    requests, errors = seen.requests - before, seen.failures.get("500", 0)
    of_it = seen.labels.get("version bad", 0) + errors
    assert 0 < errors <= of_it
    assert of_it <= SHARE * requests + 6 * sqrt(
        requests * SHARE * (1 - SHARE)
    )  # by chance in one run of a hundred million
    assert "ALARM" in tsunagu(mesh, "deployments", "web")


@pytest.mark.slow("a deployment until its alarm sees enough of it")
def test_a_tcp_version_that_listens_no_more_goes_back_by_its_alarm(mesh):
    with mesh.load("tcp://db:5432", Plan(rps=50, send=GET)):
        deploy(mesh, "db", definition("db", "deaf", deaf="2"))
        found = until_over(mesh, "db")
    assert (found.status, found.lifecycle_stage) == ("ROLLBACK_SUCCESSFUL", "PRODUCTION_TRAFFIC_SHIFT")
    assert "alarm db-errors is in ALARM" in found.status_reason


@pytest.mark.slow("a bake that waits for data")
def test_a_bake_without_data_waits_and_goes_on_when_there_is_some(mesh):
    deploy(mesh, "web", definition("web", "quiet"), bake="1s")
    reached(mesh, "web", "PRODUCTION_TRAFFIC_SHIFT")
    mesh.wait_until(
        lambda: "waits for data of alarm web-errors" in mesh.get("Service", "default/web").service.status.reason
    )
    began = present(mesh, "web").stage_since.ToNanoseconds() / 1e9
    mesh.wait_until(lambda: time.time() > began + 12, 60, "ten times the bake time and a period")
    found = present(mesh, "web")
    assert (found.status, found.lifecycle_stage) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    assert list(found.alarms.awaited_alarm_names) == ["web-errors"]
    assert state(mesh, "web-errors").state_value == "INSUFFICIENT_DATA"
    with mesh.load("http://web/", Plan(rps=200, connections=20)):
        found = until_over(mesh, "web")
    assert (found.status, found.alarms.status) == ("SUCCESSFUL", "MONITORING_COMPLETE")


@pytest.mark.slow("a deployment until its alarm sees enough of it, with a restart between")
def test_a_control_plane_that_is_killed_while_an_alarm_counts_lets_nothing_pass(mesh):
    mesh.apply(text=alarm("web", periods=2))
    with mesh.load("http://web/", Plan(rps=200, connections=20)):
        deploy(mesh, "web", definition("web", "killed", fails=4))
        reached(mesh, "web", "PRODUCTION_TRAFFIC_SHIFT")
        mesh.kill("serve")
        mesh.wait_until(mesh.answers, 60, "another serve")
        found = until_over(mesh, "web")
    assert (found.status, found.lifecycle_stage) == ("ROLLBACK_SUCCESSFUL", "PRODUCTION_TRAFFIC_SHIFT")
    assert "alarm web-errors is in ALARM" in found.status_reason


@pytest.mark.slow("three periods in which an ejected canary gets nothing")
def test_an_ejected_canary_that_gets_no_requests_is_not_taken_for_a_good_one(mesh):
    mesh.apply(text=alarm("web", periods=3, period=5, treated="notBreaching"))
    with mesh.load("http://web/", Plan(rps=300, connections=20)):
        deploy(mesh, "web", definition("web", "dead", fails=1), bake="60s")
        found = until_over(mesh, "web")
    assert (found.status, found.lifecycle_stage) == ("ROLLBACK_SUCCESSFUL", "PRODUCTION_TRAFFIC_SHIFT")
    assert "its endpoints are ejected" in found.status_reason
