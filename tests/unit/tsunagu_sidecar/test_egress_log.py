"""The switch of the egress access log: the keys are those that the listeners read."""

from tsunagu.translate import names
from tsunagu_sidecar import egress_log


def test_the_keys_are_those_of_the_listeners():
    assert set(egress_log.values("")) == {names.EGRESS_LOG, names.EGRESS_ERRORS}


def test_a_mode_switches_one_key_on_and_the_other_off():
    assert egress_log.values("all") == {names.EGRESS_LOG: 100, names.EGRESS_ERRORS: 0}
    assert egress_log.values("errors") == {names.EGRESS_LOG: 0, names.EGRESS_ERRORS: 100}
    assert set(egress_log.values("").values()) == {0}


def test_a_mode_of_a_later_version_is_off():
    assert egress_log.values("sampled") == egress_log.values("")


def test_off_is_said_to_envoy_since_its_bootstrap_may_say_on():
    assert egress_log.target("") == "/runtime_modify?tsunagu.egress_log=0&tsunagu.egress_errors=0"
