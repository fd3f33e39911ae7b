"""What each file of AWS, and each kind, is read as."""

import json

import pytest

from tsunagu.model.manifests.formats import Document, Source, read

SERVICE_ARN = "arn:aws:ecs:eu-west-1:111122223333:service/shop/web"
CLUSTER_ARN = "arn:aws:ecs:eu-west-1:111122223333:cluster/shop"
CONNECT = {"enabled": True, "namespace": "shop"}


def one(document: object) -> Document:
    (found,) = read([Source("a.json", json.dumps(document))])
    return found


@pytest.mark.parametrize(
    ("document", "kind", "name"),
    [
        ({"family": "web", "containerDefinitions": [{"name": "a", "image": "b"}]}, "TaskDefinition", "web"),
        ({"serviceName": "web", "taskDefinition": "web"}, "Service", "default/web"),
        ({"serviceName": "web", "cluster": CLUSTER_ARN, "taskDefinition": "web"}, "Service", "shop/web"),
        ({"clusterName": "shop"}, "Cluster", "shop"),
        ({"clusters": [{"clusterArn": CLUSTER_ARN, "clusterName": "shop", "status": "ACTIVE"}]}, "Cluster", "shop"),
        ({"cluster": {"clusterArn": CLUSTER_ARN, "clusterName": "shop"}}, "Cluster", "shop"),
        ({"kind": "Cluster"}, "Cluster", "default"),
        ({"kind": "Namespace", "name": "shop"}, "Namespace", "shop"),
        ({"kind": "Image", "pattern": "*/a:*"}, "Image", "*/a:*"),
        ({"kind": "Service", "serviceName": "web", "taskDefinition": "web"}, "Service", "default/web"),
    ],
)
def test_a_document_is_of_its_kind(document: dict, kind: str, name: str):
    assert (one(document).kind, one(document).name) == (kind, name)


@pytest.mark.parametrize(
    "wrap", [lambda one: {"services": [one], "failures": []}, lambda one: {"service": one}, lambda one: one]
)
def test_a_described_service_is_its_request(wrap):
    described = {
        "serviceArn": SERVICE_ARN,
        "clusterArn": CLUSTER_ARN,
        "serviceName": "web",
        "taskDefinition": "web:3",
        "status": "ACTIVE",
        "roleArn": "arn:aws:iam::1:role/a",
        "deployments": [
            {"status": "ACTIVE", "serviceConnectConfiguration": {"enabled": False}},
            {"status": "PRIMARY", "taskDefinition": "web:3", "serviceConnectConfiguration": CONNECT},
        ],
    }
    found = one(wrap(described))
    assert found.name == "shop/web"
    assert found.message.spec.service_connect_configuration.namespace == "shop"
    assert found.message.spec.role.endswith("role/a")
    assert found.ignored == ("serviceArn", "status", "deployments")


def test_several_things_of_one_answer_keep_their_lines():
    services = [{"serviceArn": SERVICE_ARN, "serviceName": name, "taskDefinition": "t"} for name in ("a", "b")]
    found = read([Source("a.json", json.dumps({"services": services}, indent=1))])
    assert [(one.name, one.places[""].line) for one in found] == [("default/a", 3), ("default/b", 8)]


def test_settings_of_ours_are_read_beside_awss_members():
    found = one({"kind": "Service", "serviceName": "a", "taskDefinition": "b", "tsunagu": {"drainTimeoutSeconds": 0}})
    assert found.message.settings.HasField("drain_timeout_seconds")


def test_a_described_task_definition_knows_its_number():
    described = {
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:12",
        "family": "web",
        "revision": 12,
        "containerDefinitions": [{"name": "a", "image": "b"}],
    }
    assert one({"taskDefinition": described, "tags": []}).revision == 12


def test_empty_documents_are_nothing():
    assert read([Source("a.yaml", "---\n---\n# nothing\n")]) == ()


def test_free_form_members_are_kept_as_they_are():
    details = {"a": [1, "1", None, True, {"b": 1.5}]}
    hooks = [{"targetType": "PAUSE", "hookDetails": details}]
    found = one({"serviceName": "a", "taskDefinition": "b", "deploymentConfiguration": {"lifecycleHooks": hooks}})
    value = found.message.spec.deployment_configuration.lifecycle_hooks[0].hook_details
    assert [entry.WhichOneof("kind") for entry in value.struct_value.fields["a"].list_value.values] == [
        "number_value",
        "string_value",
        "null_value",
        "bool_value",
        "struct_value",
    ]
