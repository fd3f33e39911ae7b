"""The last line of a log, as a status may show it."""

import pytest

from tsunagu_node.task.output.last_line import LONGEST, last_line

STAMP = "2025-11-22T12:00:00.000000Z"


def written(folder, *lines, name="app.log"):
    path = folder / name
    path.write_text("".join(f"{STAMP} stderr {line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["starting", "ModuleNotFoundError: No module named 'flask'"], "ModuleNotFoundError: No module named 'flask'"),
        (["boom", "", "   "], "boom"),
        (["\x1b[31mred\x1b[0m\ttext\x07"], "red text"),
        (["x" * 500], "x" * (LONGEST - 1) + "…"),
        ([], ""),
    ],
)
def test_it_is_one_line_of_plain_text(tmp_path, lines, shown):
    assert last_line(written(tmp_path, *lines)) == shown


def test_without_a_log_there_is_none(tmp_path):
    assert last_line(tmp_path / "app.log") == ""


def test_of_a_log_that_was_just_rotated_it_is_in_the_old_file(tmp_path):
    written(tmp_path, "the end", name="app.log.1")
    assert last_line(written(tmp_path)) == "the end"


def test_only_the_end_of_a_large_log_is_read(tmp_path):
    assert last_line(written(tmp_path, *["y" * 100] * 1000, "the end")) == "the end"
