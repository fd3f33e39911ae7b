"""What of a deploymentConfiguration is refused, and what is warned of."""

import json

import pytest

from tsunagu.model.manifests.formats import Source, read_all
from tsunagu.model.plan import plan

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:check"
ROLE = "arn:aws:iam::123456789012:role/hooks"
DEFINITION = {"family": "web", "containerDefinitions": [{"name": "web", "image": "web", "command": ["serve"]}]}


def planned(**config):
    service = {"serviceName": "web", "taskDefinition": "web", "deploymentConfiguration": config}
    reading = read_all([Source("web.json", json.dumps([DEFINITION, service]))])
    return plan(reading.documents, {}, folders={"web.json": "/mesh"}, faults=reading.issues)


def told_of_hooks(found):
    return [one for one in found.warnings if "ook" in one]


def hook(**members):
    return {"hookTargetArn": FUNCTION, "roleArn": ROLE, "lifecycleStages": ["POST_SCALE_UP"], **members}


@pytest.mark.parametrize(
    "made",
    [
        hook(),
        hook(hookDetails={"bucket": "b", "deep": [1, None]}),
        hook(targetType="AWS_LAMBDA", timeoutConfiguration={"timeoutInMinutes": 20160, "action": "CONTINUE"}),
        {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT"]},
    ],
)
def test_hooks_as_they_are_on_aws_are_taken_without_a_word(made):
    found = planned(strategy="BLUE_GREEN", lifecycleHooks=[made])
    assert (found.issues, told_of_hooks(found)) == ((), [])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"lifecycleStages": ["POST_SCALE_UP"]}, "AWS_LAMBDA, the default of targetType, has a function"),
        (hook(targetType="PAUSE"), "PAUSE calls no function"),
        (hook(lifecycleStages=[]), "lifecycleStages: is empty"),
        (hook(lifecycleStages=["BAKE_TIME"]), "BAKE_TIME"),
        ({"targetType": "PAUSE", "lifecycleStages": ["TEST_TRAFFIC_SHIFT"]}, "pause at POST_TEST_TRAFFIC_SHIFT"),
        (
            {"targetType": "PAUSE", "lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"]},
            "pause at PRE_PRODUCTION_TRAFFIC_SHIFT or POST_PRODUCTION_TRAFFIC_SHIFT",
        ),
        (hook(timeoutConfiguration={"timeoutInMinutes": 0}), "timeoutInMinutes"),
        (hook(timeoutConfiguration={"action": "STOP"}), "CONTINUE"),
    ],
)
def test_hooks_that_aws_refuses_are_refused(made, says):
    [found] = planned(strategy="BLUE_GREEN", lifecycleHooks=[made]).issues
    assert says in str(found)


def test_hooks_of_a_service_that_rolls_are_warned_of():
    [warning] = told_of_hooks(planned(lifecycleHooks=[hook()]))
    assert "ROLLING has no stage with hooks" in str(warning)
