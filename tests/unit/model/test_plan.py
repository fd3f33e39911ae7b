"""What a plan puts and deletes, and what it expects of the registry."""

import pytest
from tsunagu.v1 import objects_pb2

from controlplane.model.errors import ManifestError
from controlplane.model.manifests import Source, read
from controlplane.model.plan import Plan, plan, plan_delete
from controlplane.model.validate import check, check_batch, overlay

TASK = """
kind: TaskDefinition
family: web
memory: "512"
containerDefinitions:
  - name: web
    image: nginx
    command: [serve]
    portMappings: [{name: web, containerPort: 80, appProtocol: http}]
"""
SERVICE = """
kind: Service
serviceName: web
taskDefinition: web
desiredCount: 2
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: web, clientAliases: [{port: 80, dnsName: web}]}]
"""
BOTH = TASK + "---" + SERVICE


def made(text: str, state=None, **more) -> Plan:
    return plan(read([Source("a.yaml", text)]), state or {}, **more)


def applied(found: Plan, state=None, revision: int = 7):
    assert found.issues == ()
    for change in found.changes:
        change.object.meta.revision = revision
    puts = [change.object for change in found.changes if change.object]
    return overlay(state or {}, puts, [(one.kind, one.name) for one in found.changes if one.object is None])


def lines(found: Plan) -> list[str]:
    return [str(change) for change in found.changes]


def test_what_is_used_and_missing_is_created_and_said():
    assert lines(made(BOTH)) == [
        "create Namespace shop (Service default/web uses it)",
        "create Cluster default (Service default/web uses it)",
        "create TaskDefinition web:1",
        "create Service default/web",
    ]
    assert {change.expected for change in made(BOTH).changes} == {0}


def test_the_same_again_is_no_change():
    again = made(BOTH, applied(made(BOTH)))
    assert again.changes == ()
    assert again.unchanged == ("TaskDefinition web:1", "Service default/web")


def test_a_changed_family_is_its_next_revision_and_the_service_follows():
    state = applied(made(BOTH))
    state["Service"]["default/web"].service.status.running_count = 2
    found = made(BOTH.replace("[serve]", "[serve, fast]"), state)
    assert lines(found) == ["create TaskDefinition web:2", "update Service default/web"]
    service = found.changes[1]
    assert service.expected == 7
    assert service.object.service.spec.task_definition == "web:2"
    assert service.object.service.status.running_count == 2


def test_only_a_service_may_come_alone():
    state = applied(made(BOTH))
    assert lines(made(SERVICE.replace("desiredCount: 2", "desiredCount: 3"), state)) == ["update Service default/web"]


@pytest.mark.parametrize(
    "reference",
    ["web", "web:1", "arn:aws:ecs:eu-west-1:1:task-definition/web", "arn:aws:ecs:e:1:task-definition/web:1"],
)
def test_a_task_definition_is_named_in_any_way(reference: str):
    state = applied(made(TASK))
    found = made(SERVICE.replace("taskDefinition: web", f"taskDefinition: {reference}"), state)
    assert found.changes[-1].object.service.spec.task_definition == "web:1"


def test_a_number_of_awss_means_the_family_beside_it():
    found = made(BOTH.replace("taskDefinition: web", "taskDefinition: web:41"))
    assert found.changes[-1].object.service.spec.task_definition == "web:1"
    assert "a.yaml:13: taskDefinition: web:41 is AWS's number; here it is web:1, from a.yaml" in found.notes


def test_a_number_that_is_registered_means_that_revision():
    state = applied(made(TASK))
    text = BOTH.replace("[serve]", "[serve, fast]").replace("taskDefinition: web", "taskDefinition: web:1")
    assert made(text, state).changes[-1].object.service.spec.task_definition == "web:1"


def test_the_family_alone_means_the_latest():
    state = applied(made(TASK))
    state = applied(made(TASK.replace("[serve]", "[a]"), state), state)
    assert sorted(state["TaskDefinition"]) == ["web:1", "web:2"]
    assert made(SERVICE, state).changes[-1].object.service.spec.task_definition == "web:2"


def test_the_namespace_is_the_clusters_when_the_service_says_none():
    text = "kind: Cluster\nserviceConnectDefaults: {namespace: shop}\n---" + BOTH.replace("  namespace: shop\n", "")
    found = made(text)
    assert lines(found)[0] == "create Namespace shop (Cluster default uses it)"
    assert found.issues == ()


def test_an_issue_stops_everything():
    found = made(BOTH.replace("portName: web", "portName: wep"))
    assert found.changes == ()
    assert [str(one) for one in found.issues] == [
        "a.yaml:18: serviceConnectConfiguration.services[0].portName: web:1 has no port named 'wep'; did you mean \"web\"?"
    ]
    with pytest.raises(ManifestError, match="wep"):
        found.raise_for_issues()


def test_secrets_come_by_their_reference_or_their_name():
    text = TASK + "    secrets: [{name: A, valueFrom: shop/a}, {name: B, valueFrom: shop/b}]\n"
    found = made(text, secrets={"A": "1", "B": "by name", "shop/b": "by reference"})
    values = {one.name: one.object.secret_value.value for one in found.changes if one.kind == "SecretValue"}
    assert values == {"shop/a": b"1", "shop/b": b"by reference"}
    assert not any("by name" in line or "by reference" in line for line in [*found.notes, *lines(found)])
    state = applied(found)
    assert made(text, state).issues == ()


def test_an_images_folder_is_the_manifests():
    text = 'kind: Image\nname: a\npattern: "a"\ncommand: [x]\n---\nkind: Image\npattern: b\nworkingDirectory: sub\n'
    found = made(text, folders={"a.yaml": "/mesh"})
    assert {one.name: one.object.image.working_directory for one in found.changes} == {"a": "/mesh", "b": "/mesh/sub"}
    assert "relative to nothing" in str(made(text).issues[0])


def test_settings_of_ours_stand_beside_the_service():
    service = made(BOTH + "tsunagu: {drainTimeoutSeconds: 5}\n").changes[-1].object.service
    assert service.settings.drain_timeout_seconds == 5


def test_a_port_keeps_its_protocol_while_the_service_lives():
    state = applied(made(BOTH))
    found = made(BOTH.replace("appProtocol: http", "appProtocol: grpc"), state)
    assert [one.message for one in found.issues] == ["port 'web' of the live service is http, and would become grpc"]
    assert found.issues[0].line == 18


def test_an_alias_of_another_service_is_refused():
    state = applied(made(BOTH))
    found = made(SERVICE.replace("serviceName: web", "serviceName: other"), state)
    assert [one.message for one in found.issues] == [
        "the discovery name 'web' already belongs to service default/web in this namespace",
        "web:80 already belongs to service default/web in this namespace",
    ]


def test_delete_goes_backwards_and_expects_what_it_saw():
    state = applied(made(BOTH))
    found = plan_delete(read([Source("a.yaml", BOTH)]), state)
    assert lines(found) == ["delete Service default/web", "delete TaskDefinition web:1"]
    assert {one.expected for one in found.changes} == {7}
    assert plan_delete(read([Source("a.yaml", BOTH)]), {}).changes == ()


def test_what_is_needed_is_not_deleted():
    state = applied(made(BOTH))
    found = plan_delete(read([Source("a.yaml", TASK + "---\nkind: Namespace\nname: shop\n")]), state)
    assert found.changes == ()
    assert [str(one) for one in found.issues] == [
        "a.yaml:2: service default/web needs it; delete that first, or with it",
        "a.yaml:11: service default/web needs it; delete that first, or with it",
    ]


def test_the_server_judges_as_the_plan_does_without_lines():
    found = made(BOTH)
    puts = [change.object for change in found.changes]
    assert check_batch(puts, [], {}) == []
    service = puts[-1]
    assert [str(one) for one in check(service, {})] == [
        "Service default/web: cluster: there is no cluster 'default'",
        "Service default/web: taskDefinition: no task definition 'web:1' is registered",
        "Service default/web: serviceConnectConfiguration.namespace: there is no namespace 'shop'",
    ]
    state = applied(found)
    assert [one.message for one in check_batch([], [("Cluster", "default")], state)] == ["service default/web needs it"]


def test_a_registered_revision_cannot_change():
    state = applied(made(TASK))
    changed = objects_pb2.Object()
    changed.CopyFrom(state["TaskDefinition"]["web:1"])
    changed.task_definition.spec.memory = "1024"
    assert [one.message for one in check(changed, state)] == ["web:1 is registered with other content"]


def test_notes_tell_what_has_no_effect():
    text = BOTH + "loadBalancers: [{targetGroupArn: x, containerName: web, containerPort: 80}]\n"
    why = "there is no load balancer here; `kind: Gateway` opens ports of this machine"
    told = [line for line in made(text).notes if "loadBalancers" in line]
    assert told == [f"a.yaml:19: loadBalancers: no effect here: {why}"]


def test_missing_memory_is_a_note_and_no_error():
    found = made(BOTH.replace('memory: "512"\n', ""))
    assert found.issues == ()
    assert any("AWS would not start it with Service Connect" in line for line in found.notes)
