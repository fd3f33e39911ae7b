"""What `describe` and an apply say of AWS: each difference is told where it is one, and is not told where it is none."""

import pytest
from google.protobuf import json_format

from tsunagu.model import ids
from tsunagu.model.manifests import aws_differences
from tsunagu.v1 import ecs_pb2, objects_pb2

FITTING = {"networkMode": "awsvpc", "cpu": "512", "memory": "512"}
CONTAINER = {"name": "web", "image": "web", "cpu": 256, "memory": 448}
NAMED = {"services": [{"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]}]}


def task_definition(container=None, **fields):
    request = ecs_pb2.RegisterTaskDefinitionRequest()
    containers = [{**CONTAINER, **(container or {})}]
    json_format.ParseDict({"family": "web", "containerDefinitions": containers, **FITTING, **fields}, request)
    return ids.make("TaskDefinition", "web:1", objects_pb2.TaskDefinition(spec=request, revision=1))


def service(connect=None, name="web", **fields):
    request = ecs_pb2.CreateServiceRequest()
    configuration = {"enabled": True, "namespace": "shop", **(NAMED if connect is None else connect)}
    wanted = {"serviceName": name, "taskDefinition": "web:1", "serviceConnectConfiguration": configuration, **fields}
    json_format.ParseDict(wanted, request)
    return ids.make("Service", f"default/{name}", objects_pb2.Service(spec=request))


def state(*objects):
    found = {}
    for obj in objects:
        found.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return found


def refused(obj, definition):
    spec = obj.service.spec
    return [one.message for one in aws_differences.refused_there(spec, state(obj, definition))]


def advised(obj, definition, *others):
    return list(aws_differences.advised_there(obj.service.spec, state(obj, definition, *others)))


def test_of_a_service_that_is_as_aws_wants_it_nothing_is_said():
    assert refused(service(), task_definition()) == []
    assert advised(service(), task_definition()) == []


LOG = {"logDriver": "awslogs", "options": {"awslogs-group": "web"}}


@pytest.mark.parametrize(
    ("connect", "definition", "says"),
    [
        (NAMED, {"memory": ""}, "web:1 has no task-level memory: AWS would not start it"),
        (NAMED, {"networkMode": "bridge", "container": {"hostname": "web"}}, "a hostname in networkMode bridge"),
        ({"accessLogConfiguration": {"format": "JSON"}}, {}, "AWS wants logConfiguration beside it"),
        ({"logConfiguration": {"logDriver": "fluentd"}}, {}, "nothing is sent to fluentd here"),
        ({"logConfiguration": {"logDriver": "awslogs"}}, {}, "AWS wants awslogs-group"),
        ({"services": [{"portName": "http"}]}, {}, "has no dnsName; callers may use http or http.shop"),
        (
            {"services": [{"portName": "http", "clientAliases": [{"port": 80}]}]},
            {},
            "callers may use http or http.shop",
        ),
    ],
    ids=str,
)
def test_what_aws_would_refuse_or_leaves_open(connect, definition, says):
    [message] = refused(service(connect), task_definition(**definition))
    assert says in message


def test_access_logs_with_a_log_configuration_are_as_in_aws():
    assert (
        refused(service({"accessLogConfiguration": {"format": "JSON"}, "logConfiguration": LOG}), task_definition())
        == []
    )


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ({"networkMode": ""}, "web:1 has no networkMode; write awsvpc, which it is here, or bridge"),
        ({"cpu": "256"}, "cpu 256 leaves 0 units beside its containers; AWS advises 256 for the proxy"),
        ({"container": {"memory": 512}}, "memory 512 leaves 0 MiB beside its containers; AWS advises 64 for the proxy"),
    ],
    ids=str,
)
def test_what_aws_advises(definition, says):
    assert advised(service(), task_definition(**definition)) == [says]


def test_in_a_large_namespace_the_proxy_takes_more_memory():
    many = [service(name=f"web{number}") for number in range(101)]
    assert advised(service(), task_definition(), *many) == [
        "memory 512 leaves 64 MiB beside its containers; AWS advises 192 for the proxy"
    ]


def test_aliases_that_came_after_the_deployment():
    obj = service()
    obj.service.status.deployment = 5
    addresses = []
    for name, namespace, births in [
        ("with", "shop", {80: 5}),
        ("late", "shop", {80: 6, 90: 4}),
        ("old", "shop", {}),
        ("gone", "shop", {80: 6}),
        ("other", "lab", {80: 6}),
    ]:
        body = objects_pb2.VirtualAddress(namespace=namespace, dns_name=name, births=births)
        if name == "gone":
            body.released_at.GetCurrentTime()
        addresses.append(ids.make("VirtualAddress", f"{namespace}/{name}", body))
    assert aws_differences.unseen_there(obj.service, state(obj, *addresses)) == ["late:80"]
