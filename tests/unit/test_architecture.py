"""docs/architecture.md says what holds: its table of rooms is made from the import contracts, its walk names real code.

`TSUNAGU_REWRITE=1 pytest tests/unit/test_architecture.py` writes the two made columns of the table; what a room does is
written by hand.
"""

import ast
import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("tsunagu", "tsunagu_node", "tsunagu_sidecar")
#: Rows of the table besides the rooms of the layers: parts with a contract of their own, and the agents.
PARTS = (
    "serve.xds",
    "serve.library",
    "tsunagu_node",
    "tsunagu_node.task",
    "tsunagu_node.runtime.linux.init",
    "tsunagu_sidecar",
)
HEAD = "| room | what it does | may import | pure |\n|---|---|---|---|\n"
AT_MOST_NAMED = 6

contracts = configparser.ConfigParser()
contracts.read(ROOT / ".importlinter")


def listed(section: str, option: str) -> list[str]:
    lines = contracts[section].get(option, "").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def layers() -> list[list[str]]:
    """The rooms of each layer, the lowest first, without the package's name."""
    rows = listed("importlinter:contract:rooms", "layers")
    return [[room.strip().removeprefix("tsunagu.") for room in row.split("|")] for row in reversed(rows)]


#: The lowest first. The stubs are no room: the page says in words who imports them.
ROOMS = [room for layer in layers()[1:] for room in layer]


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def forbidden(room: str) -> set[str]:
    """The rooms that no module of a room may import, by the contracts that name the room."""
    module = room if room.partition(".")[0] in PACKAGES else f"tsunagu.{room}"
    sections = (name for name in contracts.sections() if contracts[name].get("type") == "forbidden")
    found = {
        module_of_other
        for section in sections
        if any(is_within(module, source) for source in listed(section, "source_modules"))
        for module_of_other in listed(section, "forbidden_modules")
    }
    return {name.removeprefix("tsunagu.") for name in found}


def may_import(room: str) -> list[str]:
    """The other rooms that a room may import, the lowest first."""
    own = room.partition(".")[0]
    below = ROOMS
    if own in ROOMS:
        depth = next(depth for depth, layer in enumerate(layers()) if own in layer)
        below = [other for layer in layers()[1:depth] for other in layer]
    agents = [agent for agent in PACKAGES[1:] if agent != own]
    return [
        other for other in [*below, *agents] if not {other, "tsunagu" if other in ROOMS else other} & forbidden(room)
    ]


def shown(room: str) -> str:
    allowed = may_import(room)
    if not allowed:
        return "nothing of ours"
    if len(allowed) <= AT_MOST_NAMED:
        return ", ".join(one + without(room, one) for one in allowed)
    others = [one for one in [*ROOMS, *PACKAGES[1:]] if one not in allowed and one != room.partition(".")[0]]
    return "all but " + ", ".join(others) if others else "all"


def without(room: str, other: str) -> str:
    """Which modules of another room it may not import, if it may import the rest."""
    parts = sorted(name.partition(".")[2] for name in forbidden(room) if name.startswith(other + "."))
    return f" (not {', '.join(parts)})" if parts else ""


def pure(room: str) -> str:
    modules = listed("importlinter:contract:pure", "source_modules")
    if f"tsunagu.{room}" in modules:
        return "yes"
    parts = [module.removeprefix(f"tsunagu.{room}.") for module in modules if is_within(module, f"tsunagu.{room}")]
    if room == "controllers":
        return "its plans"
    return ", ".join(parts)


def described() -> dict[str, str]:
    """Room -> what it does, as the page's table has it."""
    table = PAGE.read_text().partition(HEAD)[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    return {row[0].strip("` "): row[1] for row in cells}


def test_the_table_of_rooms_is_made_from_the_contracts():
    does = described()
    made = "".join(f"| `{room}` | {does[room]} | {shown(room)} | {pure(room)} |\n" for room in does)
    before, _, rest = PAGE.read_text().partition(HEAD)
    page = before + HEAD + made + "\n" + rest.partition("\n\n")[2]
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page


def test_every_room_has_its_row():
    assert sorted(described()) == sorted([*ROOMS, *PARTS])


def test_every_module_of_the_package_is_in_a_room():
    graph = grimp.build_graph("tsunagu", cache_dir=None)
    found = {module.split(".")[1] for module in graph.modules if "." in module}
    assert found - set(ROOMS) == {"v1"}


# -- the walk of one endpoint change ----------------------------------------------------------------------------------

HOP = re.compile(r"`([\w/]+\.py):([\w.]+)`")


def hops() -> list[tuple[str, str]]:
    return HOP.findall(PAGE.read_text())


def defined(path: Path) -> set[str]:
    """`function`, `Class` and `Class.method` of a module."""
    tree = ast.parse(path.read_text())
    return set(_names(tree.body))


def _names(body: list[ast.stmt], owner: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield owner + node.name
            if isinstance(node, ast.ClassDef):
                yield from _names(node.body, f"{owner}{node.name}.")


@pytest.mark.parametrize(("file", "name"), hops())
def test_each_hop_of_the_walk_is_there(file, name):
    places = [path for path in (ROOT / "controlplane" / "tsunagu" / file, ROOT / "agents" / file) if path.exists()]
    assert places, f"there is no {file}"
    assert name in defined(places[0])


def test_the_walk_goes_from_the_agent_to_the_wire():
    assert len(hops()) > 20
    assert {file.split("/")[0] for file, _ in hops()} >= {
        "tsunagu_node",
        "registry",
        "serve",
        "mesh",
        "translate",
        "xds",
    }
