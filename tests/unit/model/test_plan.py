"""What a plan puts and deletes, and what it expects of the registry."""

import pytest

from tsunagu.model import ids
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import Source, read
from tsunagu.model.plan import Plan, plan, plan_delete
from tsunagu.model.revisions import resolve
from tsunagu.model.rules.validate import check, check_batch, state_after
from tsunagu.v1 import objects_pb2

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
    return state_after(state or {}, puts, [(one.kind, one.name) for one in found.changes if one.object is None])


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
    assert "a.yaml:13: taskDefinition: web:41 is AWS's number; here it is web:1, from a.yaml" in found.warnings


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
    assert not any("by name" in line or "by reference" in line for line in [*found.warnings, *lines(found)])
    state = applied(found)
    assert made(text, state).issues == ()


def test_an_images_folder_is_the_manifests():
    text = 'kind: Image\nname: a\npattern: "a"\ncommand: [x]\n---\nkind: Image\npattern: b\nworkingDirectory: sub\n'
    found = made(text, folders={"a.yaml": "/mesh"})
    assert {one.name: one.object.image.working_directory for one in found.changes} == {"a": "/mesh", "b": "/mesh/sub"}
    assert "is a relative path" in str(made(text).issues[0])


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
    assert found.issues[0].suggestion == "write discoveryName: other", "the portName of many a service is http"


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


def test_the_server_validates_as_the_plan_does_without_lines():
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
    assert told == [f"a.yaml: no effect here: loadBalancers ({why})"]


def test_missing_memory_is_a_note_and_no_error():
    found = made(BOTH.replace('memory: "512"\n', ""))
    assert found.issues == ()
    assert any("AWS would not start it with Service Connect" in line for line in found.warnings)


IMAGE = "kind: Image\nname: any\npattern: 'ng*'\ncommand: [serve]\n"
FROM_IMAGE = BOTH.replace("    command: [serve]\n", "    secrets: [{name: A, valueFrom: shop/a}]\n")
ROUTER = "  - {name: log, image: 'firelens:1', firelensConfiguration: {type: fluentbit}}\n"


def of_images(text: str = FROM_IMAGE):
    return applied(made(IMAGE + "---" + text, secrets={"A": "1"}))


def told(issues) -> list[str]:
    return [str(one) for one in issues]


def deleted(kind: str, name: str, state) -> list[str]:
    return told(check_batch([], [(kind, name)], state))


@pytest.mark.parametrize(("kind", "name"), [("Image", "any"), ("SecretValue", "shop/a")])
def test_what_a_service_starts_from_is_not_deleted(kind: str, name: str):
    state = of_images()
    assert deleted(kind, name, state) == [f"{kind} {name}: service default/web needs it; delete that first, or with it"]
    assert check_batch([], [("Service", "default/web"), (kind, name)], state) == []
    assert deleted(kind, name, applied(made(BOTH + "---\n" + IMAGE), {"SecretValue": state["SecretValue"]})) == []
    found = plan_delete(read([Source("a.yaml", IMAGE)]), state)
    assert told(found.issues) == ["a.yaml:1: service default/web needs it; delete that first, or with it"]


def test_all_who_need_it_are_named():
    state = of_images()
    for number in range(1, 7):
        plain = made(f"kind: Service\nserviceName: s{number}\ntaskDefinition: web\n", state)
        state = applied(plain, state)
    named = ", ".join(f"service default/{name}" for name in ("web", "s1", "s2", "s3", "s4"))
    assert deleted("Image", "any", state) == [f"Image any: {named} and 2 more need it; delete these first, or with it"]


def test_an_image_that_another_one_stands_in_for_may_go():
    state = applied(made("kind: Image\npattern: nginx\ncommand: [serve, well]\n", of_images()), of_images())
    assert deleted("Image", "any", state) == deleted("Image", "nginx", state) == []
    both = check_batch([], [("Image", "any"), ("Image", "nginx")], state)
    assert told(both) == ["Image nginx: service default/web needs it; delete that first, or with it"]


def test_what_is_left_out_without_its_image_does_not_need_it():
    router = ROUTER.replace("}}", "}, secrets: [{name: B, valueFrom: shop/b}]}")
    text = (
        FROM_IMAGE.replace("---", router + "---", 1)
        + "---\nkind: Image\nname: log\npattern: firelens:1\ncommand: [x]\n"
    )
    state = applied(made(IMAGE + "---" + text, secrets={"A": "1", "B": "2"}))
    assert deleted("SecretValue", "shop/b", state) != []
    assert deleted("Image", "log", state) == []
    del state["Image"]["log"]
    assert deleted("SecretValue", "shop/b", state) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: Image\npattern: nginx\n", "the Image 'nginx' has no command, and neither has container 'web'"),
        ("kind: Image\nname: any\npattern: 'ng*'\n", "the Image 'ng*' has no command, and neither has container 'web'"),
        (IMAGE.replace("ng*", "other"), "container 'web' has no command, and no Image says what 'nginx' runs"),
    ],
)
def test_an_image_that_would_take_a_services_command_away_is_refused_as_a_whole(text: str, why: str):
    found = made("kind: Cluster\nclusterName: fine\n---\n" + text, of_images())
    assert told(found.issues) == [f"a.yaml:4: service default/web could not start any more: {why}; give it a command"]
    assert found.changes == ()


def test_an_image_without_a_command_is_right_where_none_is_needed():
    text = "kind: Image\npattern: nginx\nenvironment: {A: b}\n"
    assert made(text, applied(made(BOTH))).issues == ()
    assert made(text, {}).issues == ()
    router = of_images(FROM_IMAGE.replace("---", ROUTER + "---", 1))
    assert "service default/web could not start any more" in str(made(text.replace("nginx", "fire*"), router).issues)


def test_a_service_of_a_task_definition_whose_image_has_gone_is_refused():
    state = of_images()
    del state["Image"]["any"], state["Service"]["default/web"]
    [found] = made(SERVICE, state).issues
    assert (found.line, found.path) == (4, "taskDefinition")
    assert found.message == "web:1: container 'web' has no command, and no Image says what 'nginx' runs"
    both = made(FROM_IMAGE, state).issues
    assert [one.path for one in both] == ["containerDefinitions[0].image"]


def with_node(runtime: str, **fields):
    return {"Node": {"n": ids.make("Node", "n", objects_pb2.Node(runtime=runtime, project="/home/me/shop", **fields))}}


def test_a_container_without_a_command_is_run_in_its_image_where_a_node_does_that():
    refused, *_ = made(FROM_IMAGE, with_node("linux")).issues
    assert refused.message.startswith("container 'web' has no command, and no Image says what 'nginx' runs")
    assert "--runtime docker" in refused.suggestion
    found = made(FROM_IMAGE, with_node("docker"), secrets={"A": "1"})
    assert found.issues == ()
    resolve(found.changes[-1].object, applied(found, with_node("docker")))


def test_notes_are_those_of_the_runtime_that_will_run_it():
    text = TASK.replace("image: nginx", "image: nginx\n    user: '1000'\n    versionConsistency: disabled")
    assert "containerDefinitions.user (every container is uid 1000" in str(made(text, with_node("linux")).notes)
    (note,) = made(text, with_node("docker")).notes
    assert note == (
        "a.yaml: no effect here: containerDefinitions.versionConsistency (an image is looked up when its task starts)"
    )


def test_a_port_of_this_machine_is_published_in_bridge_mode_where_a_node_does_that():
    text = TASK.replace("containerPort: 80", "containerPort: 80, hostPort: 8080")
    text = text.replace("family: web", "family: web\nnetworkMode: bridge")
    assert "hostPort" in str(made(text, with_node("linux")).warnings)
    assert made(text, with_node("docker")).warnings == ()


def test_what_reaches_beyond_a_task_is_refused_where_a_node_would_give_it():
    text = BOTH.replace("image: nginx", "image: nginx\n    privileged: true")
    assert made(text, with_node("linux")).issues == ()
    [refused] = made(text, with_node("docker")).issues
    assert (refused.line, refused.path) == (8, "containerDefinitions[0].privileged")
    assert refused.suggestion == "if you trust this file, start the mesh with --allow privileged"
    assert made(text, with_node("docker", allowed=["privileged"])).issues == ()


@pytest.mark.parametrize("name", ["shop/inner", "shop:inner", "arn:aws:servicediscovery:eu-west-1:1:namespace/ns-abc"])
def test_a_namespaces_name_is_no_path_and_no_arn(name: str):
    """A virtual address is called NAMESPACE/DNS-NAME."""
    [found] = check(ids.make("Namespace", name, objects_pb2.Namespace()), {})
    assert (found.path, found.message) == ("name", f"{name!r} is not valid")
