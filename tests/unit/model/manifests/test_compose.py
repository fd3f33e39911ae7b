"""Both parsers make the same of a text, and none of them falls over one."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from tsunagu.model.manifests import compose, fast, yaml_nodes
from tsunagu.model.manifests.reading import Source

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: Without characters that end a line in YAML: `compose` escapes them.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


def value(node):
    if isinstance(node, MappingNode):
        return ("mapping", yaml_nodes.place(node), [(value(key), value(one)) for key, one in node.value])
    if isinstance(node, SequenceNode):
        return ("list", yaml_nodes.place(node), [value(one) for one in node.value])
    assert isinstance(node, ScalarNode)
    return ("scalar", yaml_nodes.place(node), yaml_nodes.scalar(node), yaml_nodes.own_tag(node))


def pure(text: str):
    return [value(node) for node in YAML(typ="safe", pure=True).compose_all(text)]


@quick
@given(st.dictionaries(texts, json_values, max_size=5), st.sampled_from([None, 1]))
def test_json_is_read_alike(document, indent):
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    try:
        quickly = fast.nodes(text)
    except (YAMLError, ValueError):
        return  # the pure parser decides
    assert [value(node) for node in quickly] == pure(text)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\t", "\\", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_text_of_json_is_read_as_it_is(character: str, escaped: bool):
    text = json.dumps({"a": f"x{character}y"}, ensure_ascii=escaped)
    [node], issues = compose.compose(Source("a.json", text))
    assert (yaml_nodes.text_of(yaml_nodes.value_of(node, "a")), issues) == (f"x{character}y", [])


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, 'y', \"z\"]\nc:\n  - null\n  - ~\n  -\n",
        "a: &x {b: 1e5, c: 0x1F, d: 1_000, e: .5, f: 1., g: yes, h: 2024-01-01}\ni: *x\n",
        "a: |\n  text\n  more\nb: >-\n  folded\n  text\n",
        "---\na: !Ref x\nb: !!str 5\n---\n- !Sub '${x}'\n",
        "é: 'ü'  # comment\n'': \"\"\n",
    ],
)
def test_yaml_is_read_alike(text: str):
    assert [value(node) for node in fast.nodes(text)] == pure(text)


@pytest.mark.parametrize(
    "text", ["[" * 3_000, "{a: " * 3_000, "- " * 3_000, "a:\n" + "".join(" " * n + "- \n" for n in range(400))]
)
def test_depth_ends_no_process(text: str):
    nodes, issues = compose.compose(Source("a.yaml", text))
    assert nodes or issues


def test_without_libyaml_the_pure_parser_reads(monkeypatch):
    monkeypatch.setattr(compose, "HAS_LIBYAML", False)
    nodes, issues = compose.compose(Source("a.yaml", "a: 1"))
    assert (len(nodes), issues) == (1, [])


def test_a_text_has_its_limit(monkeypatch):
    monkeypatch.setattr(compose, "MOST_CHARACTERS", 10)
    _, [issue] = compose.compose(Source("a.yaml", "a" * 11))
    assert "is larger than" in issue.message
