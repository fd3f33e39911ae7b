"""What a task definition asks for, and what the ends of containers mean."""

from dataclasses import replace

import pytest
from google.protobuf import json_format

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Image
from tsunagu_node.task import containers
from tsunagu_node.task.containers import Container, Restart, State
from tsunagu_node.task.health import Check

RUN = Image("", command=("run",))
RUNNING = State("RUNNING", since=100.0)
HEALTHY = State("RUNNING", health="HEALTHY", since=100.0)
PENDING = State()


def done(code, **more):
    return State("STOPPED", exit_code=code, since=100.0, **more)


def plans(*definitions):
    definition = json_format.ParseDict(
        {"containerDefinitions": list(definitions)}, ecs_pb2.RegisterTaskDefinitionRequest()
    )
    return containers.plans(definition)


def test_defaults_are_ecs_s():
    (plan,) = plans({"name": "app", "command": ["run"]})
    assert plan == Container("app", replace(RUN, definition=plan.image.definition), essential=True, stop_timeout=30)


def test_everything_that_is_said_is_used():
    (plan,) = plans(
        {
            "name": "app",
            "image": "shop/app:1",
            "user": "1000:1000",
            "cpu": 512,
            "memory": 64,
            "memoryReservation": 32,
            "entryPoint": ["sh", "-c"],
            "command": ["exec app"],
            "essential": False,
            "environment": [{"name": "A", "value": "1"}],
            "secrets": [{"name": "PASSWORD", "valueFrom": "db-password"}],
            "workingDirectory": "/srv",
            "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
            "startTimeout": 5,
            "stopTimeout": 2,
            "healthCheck": {"command": ["CMD-SHELL", "curl -f localhost"], "interval": 7},
            "restartPolicy": {"enabled": True, "ignoredExitCodes": [0]},
        },
    )
    assert plan.image.definition.user == "1000:1000"
    assert plan == Container(
        "app",
        Image("shop/app:1", ("sh", "-c"), ("exec app",), plan.image.definition),
        (("A", "1"),),
        (("PASSWORD", "db-password"),),
        "/srv",
        False,
        (("db", "HEALTHY"),),
        Check(("/bin/sh", "-c", "curl -f localhost"), interval=7),
        5,
        2,
        Restart(frozenset({0}), 300),
    )


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (["CMD", "pg_isready", "-q"], ("pg_isready", "-q")),
        (["CMD-SHELL", "a || b"], ("/bin/sh", "-c", "a || b")),
        (["NONE"], None),
    ],
)
def test_forms_of_a_health_check(command, argv):
    (plan,) = plans({"name": "app", "command": ["run"], "healthCheck": {"command": command}})
    assert (plan.check.argv if plan.check else None) == argv


@pytest.mark.parametrize(
    ("condition", "state", "starts"),
    [
        ("START", PENDING, False),
        ("START", RUNNING, True),
        ("START", done(1), True),
        ("COMPLETE", RUNNING, False),
        ("COMPLETE", done(1), True),
        ("SUCCESS", RUNNING, False),
        ("SUCCESS", done(1), False),
        ("SUCCESS", done(0), True),
        ("HEALTHY", RUNNING, False),
        ("HEALTHY", HEALTHY, True),
        ("HEALTHY", done(0, health="HEALTHY"), False),
    ],
)
def test_a_dependency_holds_a_container_back(condition, state, starts):
    app, other = Container("app", RUN, depends_on=(("other", condition),)), Container("other", RUN)
    started = containers.startable((app, other), {"app": PENDING, "other": state})
    assert ("app" in {one.name for one in started}) is starts


@pytest.mark.parametrize(
    ("condition", "state", "why"),
    [
        ("SUCCESS", done(3), "app waits for other to be SUCCESS, but it exited with code 3"),
        ("SUCCESS", done(0), ""),
        ("SUCCESS", RUNNING, ""),
        (
            "SUCCESS",
            done(127, reason="CannotStartContainerError: other: No such file or directory: ./migrate"),
            "app waits for other to be SUCCESS, but it could not be started: No such file or directory: ./migrate",
        ),
        (
            "SUCCESS",
            done(137, reason="OutOfMemoryError"),
            "app waits for other to be SUCCESS, but it exited with code 137 (OutOfMemoryError)",
        ),
        ("HEALTHY", done(0), "app waits for other to be HEALTHY, but it exited with code 0"),
        ("HEALTHY", State("RUNNING", health="UNHEALTHY"), "app waits for other to be HEALTHY, but it is UNHEALTHY"),
        ("COMPLETE", done(3), ""),
    ],
)
def test_a_dependency_may_become_hopeless(condition, state, why):
    app, other = Container("app", RUN, depends_on=(("other", condition),)), Container("other", RUN)
    assert containers.hopeless((app, other), {"app": PENDING, "other": state}, 100.0) == why


def test_a_start_timeout_bounds_the_wait_of_those_that_depend_on_it():
    app = Container("app", RUN, depends_on=(("other", "HEALTHY"),))
    other = Container("other", RUN, start_timeout=5)
    states = {"app": PENDING, "other": RUNNING}
    assert containers.hopeless((app, other), states, 104.9) == ""
    assert "startTimeout of 5 s" in containers.hopeless((app, other), states, 105.0)


@pytest.mark.parametrize(
    ("policy", "code", "lived", "again"),
    [
        (None, 1, 1000, False),
        (Restart(frozenset(), 60), 1, 60, True),
        (Restart(frozenset(), 60), 1, 59, False),
        (Restart(frozenset({0}), 60), 0, 100, False),
        (Restart(frozenset({0}), 60), 137, 100, True),
    ],
)
def test_a_restart_policy(policy, code, lived, again):
    app = Container("app", RUN, restart=policy)
    assert containers.restarts(app, done(code), 100.0 + lived) is again


def test_an_essential_container_s_end_is_the_task_s():
    app, helper = Container("app", RUN), Container("helper", RUN, essential=False)
    assert containers.ended((app, helper), {"app": RUNNING, "helper": done(1)}) == ""
    assert containers.ended((app, helper), {"app": done(0), "helper": RUNNING}) == "app"


@pytest.mark.parametrize(
    ("statuses", "health"),
    [
        ([], "UNKNOWN"),
        (["HEALTHY"], "HEALTHY"),
        (["HEALTHY", "UNKNOWN"], "UNKNOWN"),
        (["UNHEALTHY", "UNKNOWN", "HEALTHY"], "UNHEALTHY"),
    ],
)
def test_health_of_a_task(statuses, health):
    container_group = [Container(str(number), RUN, check=Check(("true",))) for number, _ in enumerate(statuses)]
    silent = [Container("silent", RUN), Container("minor", RUN, essential=False, check=Check(("true",)))]
    states = {str(number): State("RUNNING", health=status) for number, status in enumerate(statuses)}
    states |= {"silent": RUNNING, "minor": State("RUNNING", health="UNHEALTHY")}
    assert containers.health([*container_group, *silent], states) == health


def test_unknown_health_is_waited_for_8_minutes_at_most():
    quick = Container("app", RUN, check=Check(("true",), interval=5, timeout=5, retries=2))
    slow = Container("app", RUN, check=Check(("true",), interval=300, timeout=60, retries=10))
    assert containers.unknown_until([quick], {"app": RUNNING}) == 120
    assert containers.unknown_until([slow], {"app": RUNNING}) == 580
    assert containers.unknown_until([Container("app", RUN)], {"app": RUNNING}) == 0
    minor = Container("app", RUN, essential=False, check=Check(("true",)))
    assert containers.unknown_until([minor], {"app": RUNNING}) == 0


def test_those_that_others_depend_on_stop_last():
    db = Container("db", RUN)
    app = Container("app", RUN, depends_on=(("db", "START"),))
    web = Container("web", RUN, depends_on=(("app", "START"),))
    log = Container("log", RUN)
    waves = [{one.name for one in wave} for wave in containers.stop_waves([db, app, web, log])]
    assert waves == [{"web", "log"}, {"app"}, {"db"}]
