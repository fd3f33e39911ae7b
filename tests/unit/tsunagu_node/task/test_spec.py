"""What follows from the objects that a task is made from."""

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
