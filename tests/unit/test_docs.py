"""The pages lead where they say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(path for folder in ("docs", "deploy", "examples") for path in (ROOT / folder).rglob("*.md"))]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


SOURCES = sorted(path for room in ("controlplane", "agents") for path in (ROOT / room).rglob("*.py"))


def test_every_page_that_the_code_cites_is_in_the_repository():
    cited = {(page, path) for path in SOURCES for page in re.findall(r"[\w/.-]+\.md\b", path.read_text())}
    assert [(page, str(path)) for page, path in cited if not (ROOT / page).exists()] == []


def test_every_section_of_the_protocol_that_the_code_cites_is_there():
    there = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE))
    cited = {number for path in SOURCES for number in re.findall(r"docs/protocol\.md (\d+)", path.read_text())}
    assert cited
    assert cited <= there


def test_the_glossary_is_in_order_and_has_each_word_once():
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = [row.removesuffix(" (ours)").casefold() for row in rows if row not in ("word", "---")]
    assert words == sorted(set(words))


def test_every_decision_has_a_number_of_its_own_which_its_heading_bears():
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(page.name.partition("-")[0]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    headings = [page.read_text().partition("\n")[0] for page in pages]
    assert [re.match(r"# (\d+)\. ", heading)[1] for heading in headings] == list(map(str, numbers))
