"""The table of session_rules.py names what stands in the source, once each."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load():
    name = "session_rules"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


session_rules = _load()


@pytest.mark.parametrize("rule", session_rules.RULES, ids=lambda rule: rule.name)
def test_a_rule_stands_in_the_source(rule):
    source = (session_rules.ROOT / session_rules.XDS / rule.file).read_text()

    assert source.count(rule.snippet) == 1
    assert rule.snippet != rule.without


def test_there_are_enough_and_each_has_its_name():
    assert len({rule.name for rule in session_rules.RULES}) == len(session_rules.RULES) >= 20
