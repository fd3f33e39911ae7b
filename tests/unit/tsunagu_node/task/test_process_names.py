"""Containers' processes and ours have names of their own, and each can be a file's."""

import pytest

from tsunagu_node.task.process_names import container_of, process_of


@pytest.mark.parametrize("container", ["app", "a" * 200, "envoy-proxy", "A_b-1"])
def test_a_process_is_called_as_its_container(container):
    assert process_of(container) == container
    assert container_of(process_of(container)) == container


@pytest.mark.parametrize("container", ["envoy", "init", "relay"])
def test_but_for_those_that_are_called_as_processes_of_ours(container):
    assert process_of(container) not in ("envoy", "init", "relay")
    assert container_of(process_of(container)) == container


def test_and_those_that_no_file_could_be_called():
    first, second = ("a" * 254 + end for end in "bc")
    assert process_of(first) != process_of(second)
    assert len(process_of(first)) < 240
    assert first.startswith(container_of(process_of(first)))
