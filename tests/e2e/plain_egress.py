"""What tasks of an ordinary user's mesh reach outside: `python plain_egress.py LISTED OTHER RESOLV_CONF`. Raises where that is not as docs/egress.md says."""

import os
import sys
from pathlib import Path

from tests.e2e.egress_lab import Lab, database, rows
from tests.e2e.outside_lab import refusing
from tests.e2e.public_place import BANNER, Place
from tests.e2e.shop import SHOP
from tests.e2e.test_egress import PLACE
from tsunagu.testing import Mesh


def main(listed, other, resolv_conf):
    assert os.getuid() != 0
    place = Place(listed, other, Path(resolv_conf))
    with (
        database() as port,
        database("0.0.0.0") as own,
        refusing() as nobody,
        Mesh(SHOP, aws=True, environment={"TSUNAGU_RESOLV_CONF": resolv_conf}) as mesh,
    ):
        mesh.apply(text=PLACE.format(ip=other, port=BANNER))
        mesh.wait_steady(90)
        aws = int(mesh.aws()["endpoint_url"].rpartition(":")[2])
        seen = Lab(mesh, mesh.tasks("web")[0], sys.executable, place, (port, nobody, aws, own)).seen()
    assert seen == rows("linux"), {row: (seen.get(row), said) for row, said in rows("linux").items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
