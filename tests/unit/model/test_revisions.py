"""What a service resolves to: every default applied, named by its content."""

import pytest
from google.protobuf import json_format

from tsunagu.model import ids
from tsunagu.model.errors import ManifestError
from tsunagu.model.revisions import resolve
from tsunagu.v1 import ecs_pb2, objects_pb2


def state(*objects: objects_pb2.Object) -> dict:
    found: dict = {}
    for obj in objects:
        found.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return found


def task(*containers: dict, **more) -> objects_pb2.Object:
    spec = ecs_pb2.RegisterTaskDefinitionRequest()
    json_format.ParseDict({"family": "web", "containerDefinitions": list(containers), **more}, spec)
    return ids.make("TaskDefinition", "web:1", objects_pb2.TaskDefinition(spec=spec, revision=1))


def service(connect: dict | None = None, **more) -> objects_pb2.Object:
    spec = ecs_pb2.CreateServiceRequest()
    wanted = {"serviceName": "web", "taskDefinition": "web:1", **more}
    if connect is not None:
        wanted["serviceConnectConfiguration"] = {"enabled": True, "namespace": "Shop", **connect}
    json_format.ParseDict(wanted, spec)
    return ids.make("Service", "default/web", objects_pb2.Service(spec=spec))


def image(pattern: str, *command: str, folder: str = "", **environment: str) -> objects_pb2.Object:
    body = objects_pb2.Image(pattern=pattern, command=command, working_directory=folder, environment=environment)
    return ids.make("Image", pattern, body)


WEB = {
    "name": "web",
    "image": "registry/web:1",
    "command": ["serve"],
    "portMappings": [
        {"name": "web", "containerPort": 8080, "appProtocol": "http"},
        {"name": "raw", "containerPort": 9000},
    ],
}


def ports(connect: dict) -> list[objects_pb2.ServicePort]:
    return list(resolve(service(connect), state(task(WEB)))[1].ports)


def names(port: objects_pb2.ServicePort) -> list[tuple[str, int]]:
    return [(alias.dns_name, alias.port) for alias in port.aliases]


def test_without_service_connect_there_is_no_proxy():
    name, revision = resolve(service(), state(task(WEB)))
    assert name.startswith("default/web/")
    assert (revision.connect, revision.namespace, list(revision.ports)) == (False, "", [])
    assert revision.drain_timeout_seconds == 30


def test_a_port_of_which_nothing_is_said_has_every_default():
    web, raw = ports({"services": [{"portName": "web"}, {"portName": "raw"}]})
    assert (web.discovery_name, web.container_port, web.app_protocol) == ("web", 8080, "http")
    assert (web.ingress_port, web.intercept) == (15100, True)
    assert (web.idle_timeout_seconds, web.per_request_timeout_seconds) == (300, 15)
    assert names(web) == [("web", 8080), ("web.shop", 8080)]
    assert (raw.app_protocol, raw.ingress_port) == ("tcp", 15101)
    assert (raw.idle_timeout_seconds, raw.per_request_timeout_seconds) == (3600, 0)


def test_an_alias_without_a_name_is_offered_under_both():
    (web,) = ports({"services": [{"portName": "web", "discoveryName": "front", "clientAliases": [{"port": 80}]}]})
    assert names(web) == [("front", 80), ("front.shop", 80)]


def test_an_alias_with_a_name_has_only_that():
    (web,) = ports({"services": [{"portName": "web", "clientAliases": [{"port": 80, "dnsName": "w.example"}]}]})
    assert names(web) == [("w.example", 80)]


def test_a_timeout_of_zero_is_none():
    timeout = {"idleTimeoutSeconds": 0, "perRequestTimeoutSeconds": 0}
    (web,) = ports({"services": [{"portName": "web", "timeout": timeout}]})
    assert (web.idle_timeout_seconds, web.per_request_timeout_seconds) == (0, 0)


def test_an_ingress_port_of_its_own_is_not_intercepted():
    (web,) = ports({"services": [{"portName": "web", "ingressPortOverride": 18080}]})
    assert (web.ingress_port, web.intercept) == (18080, False)


def test_settings_of_the_proxy():
    config = {"containerConfigurations": [{"logLevel": "debug"}], "accessLogConfiguration": {"format": "JSON"}}
    _, revision = resolve(service(config), state(task(WEB)))
    assert (revision.proxy_log_level, revision.access_log.format) == ("debug", "JSON")
    assert resolve(service({}), state(task(WEB)))[1].proxy_log_level == "info"


def test_tasks_trace_if_their_namespace_has_a_collector():
    made = ids.make("Namespace", "Shop", objects_pb2.Namespace())
    plain, revision = resolve(service({}), state(task(WEB), made))
    assert not revision.tracing
    made.namespace.tracing.collector = "otel:4317"
    traced, revision = resolve(service({}), state(task(WEB), made))
    assert revision.tracing
    assert traced != plain
    made.namespace.tracing.collector, made.namespace.tracing.sampling_percentage = "10.0.0.1:4317", 1
    assert resolve(service({}), state(task(WEB), made))[0] == traced


def test_the_name_is_the_content():
    first = resolve(service({}), state(task(WEB)))
    assert resolve(service({}, desiredCount=9), state(task(WEB))) == first
    assert resolve(service({"namespace": "other"}), state(task(WEB)))[0] != first[0]
    assert resolve(service({}), state(task({**WEB, "command": ["other"]})))[0] != first[0]


def test_a_forced_deployment_makes_another_revision_of_the_same_content():
    forced = service({})
    forced.service.forced_deployments = 1
    assert resolve(forced, state(task(WEB)))[0] != resolve(service({}), state(task(WEB)))[0]
    assert resolve(forced, state(task(WEB))) == resolve(forced, state(task(WEB)))


def test_the_image_with_the_longest_pattern_gives_the_command():
    container = {"name": "a", "image": "registry/web:1"}
    images = (image("*", "any"), image("registry/web:*", "this"), image("*/web:*", "that"))
    _, revision = resolve(service(), state(task(container), *images))
    assert list(revision.task_definition.container_definitions[0].command) == ["this"]


@pytest.mark.parametrize("own", [{"command": ["own"]}, {"entryPoint": ["own"]}])
def test_a_command_of_its_own_stays(own: dict):
    container = {"name": "a", "image": "web", "environment": [{"name": "B", "value": "own"}], **own}
    _, revision = resolve(service(), state(task(container), image("web", "image", folder="/x", B="image", A="1")))
    (resolved,) = revision.task_definition.container_definitions
    assert [*resolved.entry_point, *resolved.command] == ["own"]
    assert resolved.working_directory == "/x"
    assert [(one.name, one.value) for one in resolved.environment] == [("A", "1"), ("B", "own")]


def test_what_it_reads_is_not_changed():
    objects = state(task({"name": "a", "image": "web"}), image("web", "image", A="1"))
    before = objects["TaskDefinition"]["web:1"].SerializeToString(deterministic=True)
    resolve(service(), objects)
    assert objects["TaskDefinition"]["web:1"].SerializeToString(deterministic=True) == before


def test_the_namespace_of_its_cluster():
    defaults = ecs_pb2.ClusterServiceConnectDefaultsRequest(
        namespace="arn:aws:servicediscovery:eu-west-1:1:namespace/ns-abc"
    )
    spec = ecs_pb2.CreateClusterRequest(cluster_name="default", service_connect_defaults=defaults)
    cluster = ids.make("Cluster", "default", objects_pb2.Cluster(spec=spec))
    _, revision = resolve(service({"namespace": ""}), state(task(WEB), cluster))
    assert revision.namespace == "ns-abc"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (service({}, taskDefinition="api"), "no task definition 'api' is registered"),
        (service({"services": [{"portName": "no"}]}), "has no port named 'no'"),
        (service({"namespace": ""}), "neither the service nor its cluster has a namespace"),
    ],
)
def test_what_cannot_be_resolved_says_why(wanted: objects_pb2.Object, message: str):
    with pytest.raises(ManifestError, match=message):
        resolve(wanted, state(task(WEB)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "container 'a' has no command, and no Image says what 'registry/web:1' runs"),
        (
            [image("*", "any"), image("*/web:*", A="1")],
            r"the Image '\*/web:\*' has no command, and neither has container",
        ),
    ],
)
def test_a_container_that_could_not_start_is_not_resolved(images: list, message: str):
    with pytest.raises(ManifestError, match=message):
        resolve(service(), state(task({"name": "a", "image": "registry/web:1"}), *images))


def test_a_log_router_needs_no_command_as_long_as_no_image_is_its_own():
    router = {"name": "log", "image": "firelens:1", "firelensConfiguration": {"type": "fluentbit"}}
    _, revision = resolve(service(), state(task(WEB, router)))
    assert [one.name for one in revision.task_definition.container_definitions] == ["web"]
    with pytest.raises(ManifestError, match="the Image 'firelens:1' has no command"):
        resolve(service(), state(task(WEB, router), image("firelens:1", A="1")))


def test_what_images_would_run_is_said_apart_where_something_stands_in_for_them():
    plain = {"name": "web", "image": "shop/web:1", "command": ["serve"]}
    _, revision = resolve(service(), state(task(plain), service()))
    assert not revision.HasField("image_task_definition")
    _, revision = resolve(service(), state(task({"name": "web", "image": "shop/web:1"}), image("shop/*", "python3")))
    (container,) = revision.image_task_definition.container_definitions
    assert (container.image, list(container.command)) == ("shop/web:1", [])


TEST = {"header": {"name": "x-try", "value": {"exact": "green"}}}


def test_an_alias_has_the_test_header_that_its_file_says_and_else_none():
    named = {"port": 80, "dnsName": "web", "testTrafficRules": TEST}
    alias = _aliases(named)[0]
    assert (alias.test_header, alias.test_value) == ("x-try", "green")
    any_value = {"port": 80, "testTrafficRules": {"header": {"name": "x-try"}}}
    assert {(one.test_header, one.HasField("test_value")) for one in _aliases(any_value)} == {("x-try", False)}
    assert _aliases({"port": 80, "dnsName": "web"})[0].test_header == ""


def _aliases(client):
    (web,) = ports({"services": [{"portName": "web", "clientAliases": [client]}]})
    return web.aliases


def test_backends_are_part_of_the_revision_sorted_and_once():
    found = service({})
    found.service.settings.backends.extend(("b", "a", "b"))
    name, revision = resolve(found, state(task(WEB)))
    assert list(revision.backends) == ["a", "b"]
    assert name != resolve(service({}), state(task(WEB)))[0]


def test_the_mark_of_a_machine_s_program_goes_on_to_its_revision():
    obj = service({})
    assert not resolve(obj, state(task(WEB), obj))[1].host
    obj.service.host = True
    assert resolve(obj, state(task(WEB), obj))[1].host
