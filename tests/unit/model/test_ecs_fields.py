"""Every field of the mirrored shapes has one row, and the page says what the table says."""

import os
from pathlib import Path

from tsunagu.model import ecs_fields
from tsunagu.v1 import ecs_pb2

PAGE = Path(__file__).parents[3] / "docs" / "ecs-fields.md"


def test_every_member_is_classed():
    named = {f"{row.message}.{one}" for row in ecs_fields.ROWS for one in row.fields.split() if one != ecs_fields.EVERY}
    every = {row.message for row in ecs_fields.ROWS if row.fields == ecs_fields.EVERY}
    schema = {f"{message}.{field}" for message, field in ecs_fields.reachable_fields()}
    unclassed = {name for name in schema - named if name.partition(".")[0] not in every}
    assert unclassed == set()
    assert named - schema == set()
    assert every - {name.partition(".")[0] for name in schema} == set()


def test_no_member_stands_in_two_rows():
    named = [f"{row.message}.{one}" for row in ecs_fields.ROWS for one in row.fields.split()]
    assert sorted(named) == sorted(set(named))


def test_what_has_no_effect_or_is_refused_says_why():
    assert [row for row in ecs_fields.ROWS if row.effect != ecs_fields.ACTS and not row.why] == []


def test_the_roots_are_classed_member_by_member():
    for root in ecs_fields.ROOTS:
        assert [row for row in ecs_fields.ROWS if row.message == root and row.fields == ecs_fields.EVERY] == []


def test_the_grace_of_health_checks_acts_without_a_load_balancer_too():
    """For that long the controllers leave an UNHEALTHY task alone (docs/controllers.md)."""
    spec = ecs_pb2.CreateServiceRequest(health_check_grace_period_seconds=90)
    assert list(ecs_fields.without_effect(spec)) == []


def test_quiet_members_are_without_effect():
    assert {ecs_fields.table()[name].effect for name in ecs_fields.QUIET} == {ecs_fields.NO_EFFECT}


def test_the_page_is_the_table():
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(ecs_fields.document())
    assert PAGE.read_text() == ecs_fields.document()


def test_a_refused_member_is_told_once_at_its_outermost_place():
    spec = ecs_pb2.RegisterTaskDefinitionRequest()
    spec.proxy_configuration.container_name = "envoy"
    assert [one.path for one in ecs_fields.refused(spec)] == ["proxyConfiguration"]


def test_values_that_ask_for_nothing_are_not_told():
    spec = ecs_pb2.CreateServiceRequest(enable_execute_command=False, health_check_grace_period_seconds=0)
    spec.deployment_configuration.strategy = "ROLLING"
    assert list(ecs_fields.without_effect(spec)) == []
    spec.placement_strategy.add(type="random")
    assert [path for path, _ in ecs_fields.without_effect(spec)] == ["placementStrategy"]
