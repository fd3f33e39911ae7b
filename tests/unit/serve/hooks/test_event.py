"""The event that a function is given, member by member as ECS's."""

from google.protobuf import json_format

from tsunagu.model import ids
from tsunagu.serve.hooks.event import event
from tsunagu.v1 import deployments_pb2, objects_pb2

FUNCTION = "arn:aws-cn:lambda:cn-north-1:123456789012:function:check"
PREFIX = "arn:aws-cn:ecs:cn-north-1:123456789012"
OLD, NEW = "default/orders/aaa", "default/orders/bbb"


def made(stage="POST_TEST_TRAFFIC_SHIFT", details=None, traffic=None):
    body = deployments_pb2.ServiceDeployment(
        cluster="default", service="orders", target_revision=NEW, source_revision=OLD, lifecycle_stage=stage
    )
    hook = deployments_pb2.LifecycleHookState(hook_id=f"{stage}-0-0", target_arn=FUNCTION, lifecycle_stage=stage)
    if details is not None:
        json_format.ParseDict(details, hook.hook_details)
    shares = objects_pb2.ServiceTraffic()
    json_format.ParseDict(traffic or {}, shares)
    return event(ids.make("ServiceDeployment", "default/orders/7", body), hook, shares)


def test_it_names_the_service_the_target_and_the_weights_of_both_kinds_of_traffic():
    shifted = [{"revision": OLD, "weight": 950}, {"revision": NEW, "weight": 50}]
    given = made(details={"bucket": "b"}, traffic={"weights": shifted, "testRevision": NEW})
    assert given.pop("executionId")
    assert given == {
        "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
        "resourceArn": f"{PREFIX}:service-deployment/default/orders/7",
        "executionDetails": {
            "serviceArn": f"{PREFIX}:service/default/orders",
            "targetServiceRevisionArn": f"{PREFIX}:service-revision/{NEW}",
            "testTrafficWeights": {f"{PREFIX}:service-revision/{NEW}": 100, f"{PREFIX}:service-revision/{OLD}": 0},
            "productionTrafficWeights": {
                f"{PREFIX}:service-revision/{OLD}": 95,
                f"{PREFIX}:service-revision/{NEW}": 5,
            },
        },
        "hookDetails": {"bucket": "b"},
    }


def test_before_anything_shifts_there_are_no_weights_and_no_details():
    given = made("RECONCILE_SERVICE")
    assert "hookDetails" not in given
    assert given["executionDetails"]["testTrafficWeights"] == {}
    assert given["executionDetails"]["productionTrafficWeights"] == {}


def test_whole_numbers_in_the_details_are_whole():
    given = made(details={"calls": 20, "share": 0.5, "more": [1, {"n": 2}, "x", None, True]})
    assert repr(given["hookDetails"]["calls"]) == "20"
    assert repr(given["hookDetails"]["more"]) == "[1, {'n': 2}, 'x', None, True]"
    assert given["hookDetails"]["share"] == 0.5


def test_weights_are_percent_in_tenths():
    given = made(traffic={"weights": [{"revision": OLD, "weight": 667}, {"revision": NEW, "weight": 333}]})
    assert list(given["executionDetails"]["productionTrafficWeights"].values()) == [66.7, 33.3]


def test_a_call_that_is_made_again_has_the_same_id_and_another_hook_another():
    assert made()["executionId"] == made()["executionId"] != made("POST_SCALE_UP")["executionId"]
