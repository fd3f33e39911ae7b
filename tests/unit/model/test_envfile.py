"""Values of secrets."""

import pytest

from tsunagu.model.envfile import read_env
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import Source


def test_names_and_values():
    text = '\ufeff# comment\n\nA=1\n export B = "two = 2" \nC=\'x\narn:aws:ssm:::p/q=v#w\nD=\n'
    expected = {"A": "1", "B": "two = 2", "C": "'x", "arn:aws:ssm:::p/q": "v#w", "D": ""}
    assert read_env(Source("env", text)) == expected


def test_faults_are_told_by_line_and_without_values():
    with pytest.raises(ManifestError) as caught:
        read_env(Source("env", "hunter2\nA=secret\nA=other\n=x\n"))
    assert str(caught.value) == "env:1: expected NAME=VALUE\nenv:3: A is there twice\nenv:4: expected NAME=VALUE"
