"""How a lesson is ended in the middle: by Ctrl-C, SIGTERM, or a terminal that is closed.

The one rule: each of them ends the lesson once, in order; while its stage is cleared away, none of them disturbs.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tsunagu.cli.errors import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = (signal.SIGTERM, signal.SIGHUP)


def _terminated(*_: object) -> NoReturn:
    raise Terminated


@contextmanager
def signals_end_it() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise Terminated, as Ctrl-C raises KeyboardInterrupt."""
    before = {number: signal.signal(number, _terminated) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def folder() -> Iterator[tuple[Path, ExitStack]]:
    """A directory for a stage, and the stack of what is to be ended before the directory goes."""
    stack, path = ExitStack(), Path(tempfile.mkdtemp(prefix="tsunagu-lesson-"))
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    try:
        yield path, stack
    finally:
        with undisturbed():
            stack.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside the block no signal ends the lesson: what is cleared away has limits of its own."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_ENDS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
