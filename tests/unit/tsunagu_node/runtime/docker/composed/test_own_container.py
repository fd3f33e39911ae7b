"""What a container of a compose project learns of itself from the engine."""

import pytest

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.composed import own_container

INSPECTED = {
    "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "node"}},
    "Mounts": [
        {"Type": "volume", "Name": "shop_xds", "Destination": "/run/tsunagu/home/xds"},
        {"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/var/run/docker.sock"},
    ],
}


def test_it_knows_its_project_and_its_volumes_by_their_paths():
    found = own_container.described(INSPECTED)
    assert found.project == "shop"
    assert found.volume("/run/tsunagu/home/xds") == "shop_xds"


def test_a_volume_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        RuntimeUnavailable, match="no volume is mounted at /x, only at: /run/tsunagu/home/xds; see deploy"
    ):
        own_container.described(INSPECTED).volume("/x")


@pytest.mark.parametrize("config", [{"Labels": {}}, {"Labels": None}, {}])
def test_a_container_of_no_project_is_told_how_to_be_of_one(config):
    with pytest.raises(RuntimeUnavailable, match=r"no label com\.docker\.compose\.project: start it as deploy/docker"):
        own_container.described({**INSPECTED, "Config": config})


def test_outside_of_a_container_the_engine_that_was_asked_is_named():
    with pytest.raises(RuntimeUnavailable, match=r"the engine at /nowhere\.sock tells nothing of this container"):
        own_container.find("/nowhere.sock")
