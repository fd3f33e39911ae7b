"""The lessons, one file each, in their order.

The one rule: a lesson's file is imported when the lesson is asked for, so its title stands here too; a test compares.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.lessons.lesson import Lesson

#: The module of each lesson, and its title.
_COURSE: tuple[tuple[str, str], ...] = (
    ("first_stream", "The first stream of an Envoy"),
    ("refused", "ACK and NACK, and why nothing is sent again"),
    ("warming", "Warming: a cluster without endpoints, and who waits for it"),
    ("make_before_break", "Make before break"),
    ("reconnect", "Reconnect: who has what"),
    ("two_variants", "Wildcards and names, and the two variants of xDS"),
    ("bad_host", "A bad host: outlier detection, panic, and how long it hurts"),
    ("draining", "Draining: a deployment, message by message"),
    ("without_proxy", "gRPC without a proxy"),
    ("own_control_plane", "Your own control plane in 40 lines"),
)


def titles() -> Mapping[int, str]:
    """The titles by number."""
    return {number: title for number, (_, title) in enumerate(_COURSE, 1)}


def load(number: int) -> Lesson:
    """A lesson."""
    module = importlib.import_module(f"tsunagu.lessons.course.{_COURSE[number - 1][0]}")
    lesson: Lesson = module.LESSON
    return lesson


def page_name(number: int) -> str:
    """The name of a lesson's page, in docs/lessons."""
    return f"{number:02}-{_COURSE[number - 1][0].replace('_', '-')}.md"


def module_name(number: int) -> str:
    """The name of a lesson's file, in this folder."""
    return f"{_COURSE[number - 1][0]}.py"
