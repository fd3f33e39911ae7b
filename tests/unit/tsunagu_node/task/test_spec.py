"""What follows from the objects that a task is made from."""

from tsunagu.translate import names
from tsunagu.v1 import objects_pb2
from tsunagu_node.task.spec import TaskSpec, for_runtime


def test_links_are_names_of_the_task_itself():
    revision = objects_pb2.ServiceRevision()
    revision.task_definition.container_definitions.add(name="web", links=["db:database", "cache"])
    revision.task_definition.container_definitions.add(name="db")
    spec = TaskSpec("default/web-0", objects_pb2.Task(), revision)
    assert spec.links == dict.fromkeys(["db", "database", "cache"], "127.0.0.1")


def test_a_runtime_with_images_gets_the_definition_that_nothing_stands_in_for():
    revision = objects_pb2.ServiceRevision(service="web")
    revision.task_definition.container_definitions.add(name="web", command=["python3", "web.py"])
    assert for_runtime(revision, has_images=True) == revision
    revision.image_task_definition.container_definitions.add(name="web", image="shop/web:1")
    (chosen,) = for_runtime(revision, has_images=True).task_definition.container_definitions
    assert (chosen.image, list(chosen.command)) == ("shop/web:1", [])
    (chosen,) = for_runtime(revision, has_images=False).task_definition.container_definitions
    assert list(chosen.command) == ["python3", "web.py"]


def gateway():
    spec = objects_pb2.TaskSpec(namespace="shop", gateway="front")
    spec.publish.add(host_port=8080, alias="web", port=80)
    spec.publish.add(host="0.0.0.0", host_port=8081)
    spec.publish.add(
        host_port=8443, tls=objects_pb2.GatewayTls(certificate_chain="/etc/shop.crt", private_key="/etc/shop.key")
    )
    return TaskSpec("default/front-1", objects_pb2.Task(spec=spec), objects_pb2.ServiceRevision())


def test_a_gateways_port_leads_to_its_alias_or_to_its_own_listener_in_the_task():
    ports = [(port.host, port.host_port, port.alias, port.port) for port in gateway().network.published]
    assert ports == [
        ("127.0.0.1", 8080, "web", 80),
        ("0.0.0.0", 8081, "localhost", 8081),
        ("127.0.0.1", 8443, "localhost", 8443),
    ]
    assert gateway().listeners == (("alias/shop/web:80",), ("gateway/front:8081",), ("gateway/front:8443",))


def test_certificates_stand_beside_the_proxys_configuration_under_the_names_that_its_listener_has():
    assert gateway().certificates == {"tls-8443.crt": "/etc/shop.crt", "tls-8443.key": "/etc/shop.key"}
    assert names.certificate_files(8443) == ("./tls-8443.crt", "./tls-8443.key")
