"""Every member of the mirrored shapes has one row, and the page says what the table says."""

import os
from pathlib import Path

from tsunagu.model import members
from tsunagu.v1 import ecs_pb2

PAGE = Path(__file__).parents[3] / "docs" / "ecs-members.md"


def test_every_member_is_classed():
    named = {f"{row.message}.{one}" for row in members.ROWS for one in row.members.split() if one != members.EVERY}
    every = {row.message for row in members.ROWS if row.members == members.EVERY}
    schema = {f"{message}.{member}" for message, member in members.reachable_members()}
    unclassed = {name for name in schema - named if name.partition(".")[0] not in every}
    assert unclassed == set()
    assert named - schema == set()
    assert every - {name.partition(".")[0] for name in schema} == set()


def test_no_member_stands_in_two_rows():
    named = [f"{row.message}.{one}" for row in members.ROWS for one in row.members.split()]
    assert sorted(named) == sorted(set(named))


def test_what_has_no_effect_or_is_refused_says_why():
    assert [row for row in members.ROWS if row.does != members.ACTS and not row.why] == []


def test_the_roots_are_classed_member_by_member():
    for root in members.ROOTS:
        assert [row for row in members.ROWS if row.message == root and row.members == members.EVERY] == []


def test_the_grace_of_health_checks_acts_without_a_load_balancer_too():
    """For that long the controllers leave an UNHEALTHY task alone (docs/controllers.md)."""
    spec = ecs_pb2.CreateServiceRequest(health_check_grace_period_seconds=90)
    assert list(members.without_effect(spec)) == []


def test_quiet_members_are_without_effect():
    assert {members.table()[name].does for name in members.QUIET} == {members.NO_EFFECT}


def test_the_page_is_the_table():
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(members.document())
    assert PAGE.read_text() == members.document()


def test_a_refused_member_is_told_once_at_its_outermost_place():
    spec = ecs_pb2.RegisterTaskDefinitionRequest()
    spec.proxy_configuration.container_name = "envoy"
    assert [one.path for one in members.refused(spec)] == ["proxyConfiguration"]


def test_values_that_ask_for_nothing_are_not_told():
    spec = ecs_pb2.CreateServiceRequest(enable_execute_command=False, health_check_grace_period_seconds=0)
    spec.deployment_configuration.strategy = "ROLLING"
    assert list(members.without_effect(spec)) == []
    spec.deployment_configuration.strategy = "CANARY"
    assert [path for path, _ in members.without_effect(spec)] == ["deploymentConfiguration.strategy"]
