"""Prose and masks: what a terminal and a page make of a lesson's text and of a run."""

from tsunagu.lessons.masks import Masks
from tsunagu.lessons.prose import cleaned, wrapped


def test_paragraphs_are_filled_and_lists_and_code_are_kept():
    text = """
        One line
        and another.

        - an item that goes
          on here
        - a second

            code  stays
        """
    assert wrapped(text, 40) == ("One line and another.\n\n- an item that goes on here\n- a second\n\n    code  stays")


def test_no_line_is_wider_than_asked():
    assert max(map(len, wrapped("word " * 100, 30).splitlines())) <= 30


def test_the_indentation_of_the_file_is_taken_away():
    assert cleaned("\n    a\n      b\n    ") == "a\n  b"


def test_what_differs_from_run_to_run_is_masked_and_keeps_its_identity():
    masks = Masks()
    first = masks("12:00:00.123  orders-0a1b2c3d  -> EDS is sent  svc/a@0123456789abcdef nonce 3-7")
    again = masks("orders-0a1b2c3d orders-ffffffff svc/a@0123456789abcdef svc/a@fedcba9876543210")
    assert first == "hh:mm:ss.mmm  orders-1  -> EDS is sent  svc/a@version-1 nonce #1"
    assert again == "orders-1 orders-2 svc/a@version-1 svc/a@version-2"


def test_of_a_short_wait_the_number_is_masked_and_a_long_one_is_told_in_seconds():
    masks = Masks()
    assert masks("after 1.4 ms") == "after N ms"
    assert masks("after 4012.7 ms") == "after 4 s"


def test_ports_paths_and_revisions_are_masked():
    masks = Masks()
    text = "http://127.0.0.1:41234/ in /tmp/tsunagu-abc_12/m at revision 17 (r17) --after 93, xds show 94"
    assert masks(text) == "http://127.0.0.1:PORT/ in /tmp/tsunagu-lesson/m at revision N (rN) --after n, xds show n"
