"""What follows from the objects that a task is made from."""

from tsunagu.v1 import objects_pb2
from tsunagu_node.task.spec import TaskSpec


def test_links_are_names_of_the_task_itself():
    revision = objects_pb2.ServiceRevision()
    revision.task_definition.container_definitions.add(name="web", links=["db:database", "cache"])
    revision.task_definition.container_definitions.add(name="db")
    spec = TaskSpec("default/web-0", objects_pb2.Task(), revision)
    assert spec.links == dict.fromkeys(["db", "database", "cache"], "127.0.0.1")
