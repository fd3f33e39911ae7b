"""A test that failed beside others passes only if its file does, alone, each of three times; and no more than two may fail so."""

import pytest

from tests.second_look import looked_at

A, B, C = "tests/e2e/test_a.py::test_one", "tests/e2e/test_a.py::test_two[x]", "tests/e2e/test_c.py::test_three"
FILE_A, FILE_C = ["-m", "e2e", "tests/e2e/test_a.py"], ["-m", "e2e", "tests/e2e/test_c.py"]


@pytest.mark.parametrize(
    ("failed", "codes", "runs", "code"),
    [
        ([A], [0, 0, 0], [FILE_A] * 3, 0),
        ([A, B], [0, 0, 0], [FILE_A] * 3, 0),
        ([A, C], [0] * 6, [FILE_A] * 3 + [FILE_C] * 3, 0),
        ([A], [1], [FILE_A], 1),
        ([A], [0, 0, 1], [FILE_A] * 3, 1),
        ([A, C], [0, 0, 0, 0, 2], [FILE_A] * 3 + [FILE_C] * 2, 2),
        ([A, B, C], [], [], 1),
        ([], [], [], 1),
    ],
    ids=[
        "one",
        "two of a file",
        "two files",
        "fails again",
        "fails once of three",
        "the second",
        "three",
        "nobody knows",
    ],
)
def test_what_is_run_again_and_what_comes_of_it(failed, codes, runs, code):
    left, made, said = list(codes), [], []

    def run(arguments):
        made.append(arguments)
        return left.pop(0)

    assert looked_at(failed, run, said.append) == code
    assert made == runs
    assert ("RED BY CHANCE" in said[-1]) == (code == 0)
    assert all(one in said[-1] for one in failed) == (code == 0) or not failed
