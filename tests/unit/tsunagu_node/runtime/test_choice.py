"""A runtime is chosen by its name, in one place."""

import pytest

from tsunagu_node.runtime import choice
from tsunagu_node.runtime.contract import RuntimeUnavailable


def test_a_runtime_that_there_is_not_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.launch("nosuch", tmp_path, ["true"])
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.connect("nosuch", tmp_path, [])
