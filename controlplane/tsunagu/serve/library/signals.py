"""Ctrl-C and SIGTERM end an `async with` block as if its last line had been reached: clients are told, nothing is printed.

asyncio.run answers Ctrl-C with a KeyboardInterrupt, whose traceback is what users see of it. Here the signal cancels the
task that is in the block, as asyncio.timeout does, and the block's end takes that cancellation back.

Rule: a signal is borrowed: what handled it before handles it again after the block. A second one is not held back.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class EndedBySignal:
    """The signals that end a block. One block at a time."""

    def __init__(self, signals: Sequence[signal.Signals]) -> None:
        self._signals = tuple(signals)
        self._before: dict[signal.Signals, Any] = {}  # what handled those that are borrowed now
        self._task: asyncio.Task[Any] | None = None
        self._came = False

    def begin(self) -> None:
        """Borrow the signals for the current task. Other threads than the main one get none, so nothing is done there."""
        self._task, self._came = asyncio.current_task(), False
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for one in self._signals:
            self._before[one] = signal.getsignal(one)
            loop.add_signal_handler(one, self._end, one)

    def give_back(self) -> None:
        """Let what was there before handle the signals."""
        loop = asyncio.get_running_loop()
        for one, handler in self._before.items():
            loop.remove_signal_handler(one)
            signal.signal(one, handler or signal.SIG_DFL)
        self._before.clear()

    def is_the_end(self, error: BaseException | None) -> bool:
        """True when a signal has cancelled the block, and nothing else: the cancellation is taken back."""
        if not self._came or self._task is None:
            return False
        others = self._task.uncancel()
        return others == 0 and isinstance(error, asyncio.CancelledError)

    def _end(self, one: signal.Signals) -> None:
        asyncio.get_running_loop().remove_signal_handler(one)
        signal.signal(one, self._before.pop(one) or signal.SIG_DFL)
        if self._task is not None and not self._came:
            self._came = True
            self._task.cancel()
