"""Whatever the text, reading ends in documents or in a ManifestError whose issues have places."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsunagu.model.ecs_fields import reachable_fields
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import Source, read
from tsunagu.model.plan import plan

MEMBERS = sorted({field for _, field in reachable_fields()} | {"kind", "name", "tsunagu", "taskDefinition", "services"})
KINDS = st.sampled_from(["Cluster", "Namespace", "TaskDefinition", "Service", "Gateway", "Image", "Nothing"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | KINDS
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=20,
)
documents = st.dictionaries(st.sampled_from(MEMBERS), values, max_size=8)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(text: str) -> None:
    issues: tuple = ()
    try:
        found = read([Source("any.yaml", text)])
    except ManifestError as error:
        found, issues = (), error.issues or ("none is told",)
    assert all(one.file == "any.yaml" and one.line >= 1 and one.message for one in issues)
    plan(found, {}, folders={"any.yaml": "/mesh"})


@quick
@given(st.text(max_size=60))
def test_any_text(text: str):
    outcome(text)


@quick
@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`# \n\tab0~<=.", max_size=40))
def test_text_of_yaml_signs(text: str):
    outcome(text)


@quick
@given(documents)
def test_any_document_of_known_members(document: dict):
    outcome(json.dumps(document))


@quick
@given(KINDS, documents)
def test_any_document_of_a_kind(kind: str, document: dict):
    outcome(json.dumps({**document, "kind": kind}))


#: A tree that has values of the right types in many places.
typed = st.fixed_dictionaries(
    {},
    optional={
        "family": st.sampled_from(["web", "api", "", "a b"]),
        "networkMode": st.sampled_from(["awsvpc", "host", "none", "x"]),
        "containerDefinitions": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["a", "b"]), "image": st.sampled_from(["i", "j:1"])},
                optional={
                    "command": st.lists(st.text(max_size=3), max_size=2),
                    "essential": st.booleans(),
                    "dependsOn": st.lists(
                        st.fixed_dictionaries(
                            {
                                "containerName": st.sampled_from(["a", "b", "c"]),
                                "condition": st.sampled_from(["START", "HEALTHY", "SUCCESS"]),
                            }
                        ),
                        max_size=3,
                    ),
                    "portMappings": st.lists(
                        st.fixed_dictionaries(
                            {"containerPort": st.integers(0, 70000)},
                            optional={"name": st.sampled_from(["p", "q"]), "appProtocol": st.sampled_from(["http"])},
                        ),
                        max_size=2,
                    ),
                },
            ),
            max_size=3,
        ),
    },
)


@quick
@given(typed)
def test_a_task_definition_of_the_right_types(document: dict):
    outcome(json.dumps({"kind": "TaskDefinition", **document}))


#: Aliases that would make a hundred thousand nodes of a few.
MULTIPLIED = """
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
kind: Service
deploymentConfiguration: {lifecycleHooks: [{hookDetails: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d]}]}
"""


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{" * 5000,
        '"\\UFFFFFFFF"',
        "kind: Service\na: &a [*a]",
        "kind: TaskDefinition\ncontainerDefinitions: &a [*a]",
        "kind: Service\ndeploymentConfiguration: {lifecycleHooks: [{hookDetails: &a {x: *a}}]}",
        "? [a]\n: b\nkind: Service",
        "kind: !!binary Service",
        "kind: &k Service\nserviceName: *k\ntaskDefinition: *k\ncluster: !x y",
        MULTIPLIED,
        'kind: Service\nserviceName: "\\ud800"\ntaskDefinition: a',
        "\x00",
        "%YAML 3.0\n---\na: b",
        "---\n---\n...",
    ],
)
def test_odd_texts(text: str):
    outcome(text)


def test_json_may_be_indented_by_tabs():
    text = json.dumps({"family": "web", "containerDefinitions": [{"name": "a", "image": "b"}]}, indent="\t")
    assert [one.name for one in read([Source("a.json", text)])] == ["web"]


def test_json_may_write_a_character_as_two_halves():
    text = json.dumps(
        {"kind": "Image", "name": "a", "pattern": "a", "command": ["\U0001f600"], "environment": {"\U0001f600": "1"}}
    )
    (image,) = read([Source("a.json", text)])
    assert "\\ud83d" in text
    assert (list(image.message.command), dict(image.message.environment)) == (["\U0001f600"], {"\U0001f600": "1"})


@pytest.mark.parametrize(
    "text",
    [
        'kind: Image\n"\\ud800": 1',
        'kind: Image\nenvironment: {"\\udead": "1"}',
        'kind: "\\U0000d800"\nname: a',
        'kind: Image\n&a "\\ud800": *a',
        'kind: Service\ndeploymentConfiguration: {lifecycleHooks: [{hookDetails: {"\\ud800": 1}}]}',
    ],
)
def test_half_a_character_is_no_text(text: str):
    with pytest.raises(ManifestError) as raised:
        read([Source("a.yaml", text)])
    assert "holds half a surrogate pair, which is no text" in {one.message for one in raised.value.issues}
    str(raised.value).encode()  # what is printed is text


def test_half_a_character_does_not_hide_what_else_is_wrong():
    with pytest.raises(ManifestError) as raised:
        read([Source("a.yaml", 'kind: Image\nname: a\npattern: "\\ud800"\n---\nkind: Image\nname: b\nbogus: 1')])
    assert [(one.line, one.message) for one in raised.value.issues if one.line != 1] == [
        (3, "holds half a surrogate pair, which is no text"), (7, "unknown field"),
    ]  # fmt: skip
