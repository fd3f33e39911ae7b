"""The table of shapes is that of AWS's own model. `TSUNAGU_REWRITE=1` writes it."""

import os
from pathlib import Path

import botocore.session
import pytest

from tsunagu.appmesh import classes, reading, shapes

MODULE = Path(shapes.__file__)
TYPES = {"integer": "#", "long": "#", "boolean": "?"}


def rows():
    """Structure -> members, of every request that creates something, in the notation of the table."""
    model = botocore.session.get_session().get_service_model("appmesh")
    found = {}
    for kind in reading.KINDS:
        walk(model.operation_model(f"Create{kind}").input_shape, found)
    return dict(sorted(found.items()))


def walk(shape, found):
    if shape.name in found:
        return
    found[shape.name] = ""
    written = []
    for name, member in shape.members.items():
        inner, many = (member.member, "[]") if member.type_name == "list" else (member, "")
        if inner.type_name == "structure":
            walk(inner, found)
            kind = f">{inner.name}"
        else:
            kind = TYPES.get(inner.type_name, "")
        written.append(f"{name}{kind}{many}{'!' if name in shape.required_members else ''}")
    found[shape.name] = " ".join(written)


def text(table):
    lines = ["SHAPES: Final[dict[str, str]] = {"]
    for name, written in table.items():
        line = f'    "{name}": "{written}",'
        lines += [line] if len(line) <= 120 else [f'    "{name}": (', *chunks(written), "    ),"]
    return "\n".join([*lines, "}", ""])


def chunks(written):
    line = ""
    for word in written.split():
        if len(line) + len(word) > 100:
            yield f'        "{line}"'
            line = ""
        line += f"{word} "
    yield f'        "{line.rstrip()}"'


def test_the_table_is_the_installed_model():
    if os.environ.get("TSUNAGU_REWRITE"):
        head = MODULE.read_text().partition("SHAPES: Final")[0]
        MODULE.write_text(head + text(rows()))
        pytest.skip("written")
    assert rows() == shapes.SHAPES


def test_every_class_is_of_a_member_that_exists():
    for member in classes.CLASSES:
        shape, _, name = member.partition(".")
        assert shape == "*" or name in shapes.members(shape), member
