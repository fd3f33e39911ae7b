"""No root needed: the table of docs/egress.md for a mesh of a user who may do nothing that others may not. The test itself makes places with
public addresses, as root.
"""

import pytest

from tests.e2e.public_place import public_place
from tests.e2e.test_unprivileged import HERE, as_plain_user, home  # noqa: F401

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.mark.slow("a whole mesh is brought up and ended in it, by a user who cannot share one")
def test_an_ordinary_user_s_tasks_see_what_the_page_says(home):  # noqa: F811
    if as_plain_user(home, "-c", "import tsunagu.cli").returncode:
        pytest.skip("an ordinary user may not read the project's files")
    with public_place(home) as place:
        place.resolv_conf.chmod(0o644)
        arguments = (place.listed, place.other, place.resolv_conf)
        done = as_plain_user(home, HERE / "plain_egress.py", *arguments, PYTHONPATH=str(HERE.parents[1]))
    assert done.returncode == 0, done.stderr
