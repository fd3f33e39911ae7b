"""`up --detach`: the supervisor in the background, in a session of its own.

The one rule: the command that started it returns only when the mesh runs, or with the reason that it does not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsunagu.cli import errors
from tsunagu.cli.errors import NOT_CONVERGED, CliError, code_of
from tsunagu.cli.local.children import last_lines
from tsunagu.cli.local.home_lock import already_up, make
from tsunagu.cli.local.options import Options
from tsunagu.cli.local.run import answering, hold
from tsunagu.cli.local.shutdown import Ending, before
from tsunagu.client.errors import ClientError, first
from tsunagu.client.is_up import is_up
from tsunagu.kit import log
from tsunagu.settings import Home
from tsunagu_node.runtime.choice import Choice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from contextlib import AbstractAsyncContextManager

    from tsunagu.cli.local.children import Processes
    from tsunagu.cli.local.runtime import Choices
    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer


@dataclass(frozen=True, slots=True)
class Background:
    """The supervisor that was started; ``gone`` is set when it has ended."""

    home: Home
    process: subprocess.Popen[bytes]
    gone: asyncio.Event

    async def meanwhile(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work. Raises CliError with the last lines of the supervisor's output when that ends before."""
        if not await before(self.gone, work, "the start of the background"):
            raise _failed(self.home, self.process)


@asynccontextmanager
async def started(home: Home, options: Options) -> AsyncIterator[Background]:
    """A supervisor runs in the background. It is ended, in order, when the block fails.

    It keeps running when the block only timed out: the mesh can still become steady, and its logs say why it is not.
    """
    home.check()
    make(home)
    if is_up(home):
        raise already_up(home)
    background = Background(home, _start(home, options), asyncio.Event())
    watched = os.pidfd_open(background.process.pid)
    asyncio.get_running_loop().add_reader(watched, background.gone.set)
    try:
        yield background
    except BaseException as error:
        cause = first(error)
        if code_of(cause) != NOT_CONVERGED:
            background.process.send_signal(signal.SIGTERM)
            await background.gone.wait()
        raise
    finally:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)


def _failed(home: Home, background: subprocess.Popen[bytes]) -> CliError:
    words = "\n".join(last_lines(_output(home), 12)).removeprefix("error: ")
    return CliError(words or "the background has ended at once", background.wait() or errors.FAILED)


def _output(home: Home) -> Path:
    return home.log("up").with_suffix(".err")


def _start(home: Home, options: Options) -> subprocess.Popen[bytes]:
    output = _output(home)
    with output.open("wb") as file:
        return subprocess.Popen(  # it outlives us: nobody waits for it
            [sys.executable, "-P", "-m", "tsunagu.cli.local.detached", str(home.root), options.word()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


class _Job:
    """The job of `hold` without a terminal: what happens goes to the log."""

    def __init__(self, home: Home, runtimes: Choices) -> None:
        self._home = home
        self._runtimes = runtimes
        self._log = log.get("up")

    def notify(self, text: str) -> None:
        self._log.info(text)

    def output(self, link: Link, informer: Informer) -> AbstractAsyncContextManager[None]:
        """Nobody sees it here: `tsunagu logs` shows it."""
        return nullcontext()

    async def __call__(self, processes: Processes) -> None:
        processes.choose(self._runtimes)
        await answering(self._home, processes)
        await asyncio.Event().wait()  # until a signal cancels us


async def _hold(home: Home, options: Options) -> None:
    ending = Ending()
    ending.listen()
    await hold(home, ending, options, _Job(home, tuple(map(Choice.decoded, options.runtimes))))


def main(arguments: list[str]) -> int:
    """`HOME OPTIONS`, as `Options.word` writes them."""
    home = Home(Path(arguments[0]))
    log.configure(file=home.log("up"), console=False)
    try:
        asyncio.run(_hold(home, Options.read(arguments[1])))
    except (CliError, ClientError, BaseExceptionGroup) as error:
        cause = first(error)
        if not isinstance(cause, CliError | ClientError):
            raise
        sys.stderr.write(f"error: {cause}\n")
        return code_of(cause)
    return errors.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
