"""What an ordinary user of an engine's group does with a mesh of both runtimes: `python plain_both.py MESH_DIRECTORY IMAGE`.

Nobody says which runtimes it is to have. Raises when something is amiss.
"""

import os
import sys
from pathlib import Path

from tests.e2e.both_runtimes import OTHER, manifests
from tests.e2e.plain_docker import ASK
from tests.e2e.plain_shop import tsunagu


def main(home: str, image: str) -> None:
    assert os.getuid() != 0
    assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
    file = Path(home).with_suffix(".yaml")
    file.write_text(manifests(image))
    tsunagu("up", file, "--detach", home=home)
    assert tsunagu("get", "nodes", home=home).count("READY") == 2
    for service, other in OTHER.items():
        command = ("python3", "-c", ASK.format(f"http://{other}/"))
        assert tsunagu("exec", service, "--", *command, home=home).strip() == other
        assert f"alias/shop/{other}:80" in tsunagu("envoy", service, "/listeners", home=home)
    tsunagu("down", home=home)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
