"""After warming up nothing of a real mesh is built for the first time."""

from collections import Counter

import betterproto2

from controlplane.translate.warm import warm
from controlplane.xds.resources import TYPES


def prepared():
    """Message classes that betterproto2 has looked into."""
    found, left = set(), [betterproto2.Message]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if "_betterproto_meta" in vars(kind):
            found.add(kind)
    return found


def test_it_makes_one_of_each_kind():
    made = warm()
    assert Counter(TYPES[one.type_url].short for one in made).keys() == {"CDS", "EDS", "LDS", "RDS"}
    before = prepared()
    assert warm() == made
    assert prepared() == before
