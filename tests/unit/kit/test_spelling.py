"""A wrong name is answered with the known one that is near it, if there is one."""

import pytest

from tsunagu.kit.spelling import did_you_mean


@pytest.mark.parametrize(
    ("wrong", "known", "offer"),
    [
        ("wbe", ["web", "orders"], 'did you mean "web"?'),
        ("PORT_NAME", ["portName", "protocol"], 'did you mean "portName"?'),
        ("service-name", ["serviceName"], 'did you mean "serviceName"?'),
        ("xyz", ["web", "orders"], ""),
        ("web", [], ""),
    ],
)
def test_the_nearest_known_name_is_offered(wrong, known, offer):
    assert did_you_mean(wrong, known) == offer


def test_without_a_near_name_something_else_may_be_said():
    assert did_you_mean("xyz", ["web"], "see 'tsunagu ps'") == "see 'tsunagu ps'"
