"""How the commands of a page are read and compared."""

import pytest

from tests.e2e.docs_commands import agrees, blocks, unmarked

PAGE = r"""
<!-- exit: 8 -->
<!-- numbers vary -->
```console
$ tsunagu ps \
    --all
web-5eaf3ed7  RUNNING
$ tsunagu down
```

```
tsunagu up
```
"""


def test_a_page_is_its_blocks():
    [block] = blocks(PAGE)
    assert block.marks == {"exit": "8", "numbers vary": ""}
    assert [expected for _, expected in block.steps] == ["web-5eaf3ed7  RUNNING", ""]
    assert block.steps[1][0] == "tsunagu down"


def test_commands_in_another_block_are_found():
    assert unmarked(PAGE) == ["tsunagu up"]


@pytest.mark.parametrize(
    ("shown", "got", "same"),
    [
        ("web-5eaf3ed7  RUNNING  10.88.0.3  1.4s", "web-0b11a7bb   RUNNING 10.88.0.12  33s", True),
        ("web-5eaf3ed7  RUNNING", "web-0b11a7bb  STOPPED", False),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("a\n...\nz", "a\nz", True),
        ("a\n...\nz", "a\nb", False),
        ("a ... z", "a b c z", True),
        ("steady after 3.4 s: 4 services", "steady after 12.0 s: 4 services", True),
        ("steady after 3.4 s: 4 services", "steady after 12.0 s: 5 services", False),
        ("", "whatever", True),
    ],
)
def test_output_agrees_but_for_what_differs_from_run_to_run(shown, got, same):
    assert agrees(shown, got) is same


def test_numbers_that_vary_are_masked_where_the_page_says_so():
    assert agrees("150 requests, 0 failed", "120 requests, 0 failed", numbers=True)
    assert not agrees("150 requests, 0 failed", "120 requests, 0 failed")
