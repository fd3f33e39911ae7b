"""Where a connection may lead: each rule once."""

import re
from pathlib import Path

import pytest

from tsunagu_node.outside.relay.destinations import DOCKER_PORTS, HOST, Machine, Policy, Reason, Rights, lead, owns

OWN, OUR_PORT = "192.0.2.7", 8443
MACHINE = Machine(owns=lambda ip: ip == OWN, is_ours=lambda _ip, port: port == OUR_PORT)
NAMES = Rights(Policy.NAMES, {"198.51.100.1": 10.0})
PLACES = {("169.254.88.9", 5432): "127.0.0.9", ("203.0.113.9", 80): "203.0.113.9", (HOST, OUR_PORT): "127.0.0.1"}


@pytest.mark.parametrize(
    ("called", "rights", "outcome"),
    [
        (("198.51.100.1", 80), Rights(), ("198.51.100.1", 80)),
        ((HOST, 5432), Rights(), ("127.0.0.1", 5432)),
        ((HOST, OUR_PORT), Rights(), Reason.OWN_PORT),
        ((HOST, min(DOCKER_PORTS)), Rights(), Reason.OWN_PORT),
        ((OWN, 80), Rights(), Reason.OWN_ADDRESS),
        (("127.9.9.9", 80), Rights(), Reason.NO_ADDRESS),
        (("0.0.0.0", 80), Rights(), Reason.NO_ADDRESS),
        (("169.254.169.254", 80), Rights(), Reason.NO_ADDRESS),
        (("224.0.0.1", 80), Rights(), Reason.NO_ADDRESS),
        (("255.255.255.255", 80), Rights(), Reason.NO_ADDRESS),
        (("198.51.100.1", 80), Rights(Policy.DENY), Reason.DENIED),
        ((HOST, 5432), Rights(Policy.DENY), Reason.DENIED),
        (("198.51.100.1", 80), NAMES, ("198.51.100.1", 80)),
        (("198.51.100.2", 80), NAMES, Reason.NOT_NAMED),
        (("169.254.88.9", 5432), Rights(Policy.DENY), ("127.0.0.9", 5432)),
        (("169.254.88.9", 5433), Rights(), Reason.NO_ADDRESS),
        (("203.0.113.9", 80), Rights(Policy.DENY), ("203.0.113.9", 80)),
        ((HOST, OUR_PORT), Rights(Policy.DENY), Reason.OWN_PORT),
    ],
)
def test_where_a_connection_leads(called, rights, outcome):
    target, reason = lead(called, rights, PLACES, MACHINE, now=5.0)
    assert outcome == (target if reason is None else reason)


def test_what_was_admitted_ends():
    assert lead(("198.51.100.1", 80), NAMES, {}, MACHINE, now=11.0) == (None, Reason.NOT_NAMED)


def test_a_machine_s_own_addresses_are_known_by_asking_the_kernel():
    assert owns("127.0.0.1")
    assert not owns("198.51.100.77")


def test_the_page_explains_each_reason():
    page = (Path(__file__).parents[5] / "docs" / "egress.md").read_text()
    table = page.partition("| reason | |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == list(Reason)
