"""The table of session_rules.py names what stands in the source, once each."""

from __future__ import annotations

import pytest

from tests.mutation import session_rules


@pytest.mark.parametrize("rule", session_rules.RULES, ids=lambda rule: rule.name)
def test_a_rule_stands_in_the_source(rule):
    source = (session_rules.ROOT / session_rules.XDS / rule.file).read_text()

    assert source.count(rule.snippet) == 1
    assert rule.snippet != rule.without


def test_there_are_enough_and_each_has_its_name():
    assert len({rule.name for rule in session_rules.RULES}) == len(session_rules.RULES) >= 20
