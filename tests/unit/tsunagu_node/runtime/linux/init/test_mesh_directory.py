"""What a task's apps are not shown of its folder: this module imports nothing of ours, so it is held to the contract here."""

from tsunagu_node.runtime import contract
from tsunagu_node.runtime.linux import running_task
from tsunagu_node.runtime.linux.init import mesh_directory, pid1


def test_the_files_of_the_proxy_and_of_the_runtime_are_hidden_from_apps():
    own = {contract.ENVOY_CONFIG, contract.IDENTITY, running_task.RECORD, pid1.STATE}
    assert own == mesh_directory._NOT_FOR_APPS


def test_what_else_the_proxy_has_has_no_name_that_is_shown():
    assert not contract.CERTIFICATES.endswith(".json")
