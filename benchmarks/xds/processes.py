"""The processes of the comparison: built, started, spoken to in lines of JSON, ended with their input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
BINARIES = ROOT / "benchmarks" / "results" / "bin"
GO_HOME = Path("/usr/local/go/bin")  # where its own installation guide puts it


class NoGo(RuntimeError):
    """The simulated proxies and go-control-plane are Go programs."""


class Failed(RuntimeError):
    """A process could not do what it was told."""


def build() -> None:
    """All programs, in benchmarks/results/bin. Their modules come through Go's own proxy settings."""
    go = shutil.which("go") or (str(GO_HOME / "go") if (GO_HOME / "go").exists() else None)
    if go is None:
        raise NoGo("this scenario needs Go 1.26: its programs are built with it")
    BINARIES.mkdir(parents=True, exist_ok=True)
    subprocess.run([go, "build", "-o", f"{BINARIES}/", "./client", "./gcp", "./hops"], cwd=PEERS, check=True)


class Process:
    """A program that answers each line with a line."""

    def __init__(self, *command: str, name: str = "") -> None:
        self.name = name or Path(command[0]).name
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Say it and wait for the answer."""
        self.tell(do, **fields)
        return self.answer()

    def tell(self, do: str, **fields: Any) -> None:
        """Say it; the answer is still to be taken."""
        stdin = _open(self._process.stdin)
        stdin.write(json.dumps({"do": do, **fields}) + "\n")
        stdin.flush()

    def answer(self) -> dict[str, Any]:
        line = _open(self._process.stdout).readline()
        if not line:
            raise Failed(f"{self.name} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        _open(self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _open(self._process.stdout).close()


def client() -> Process:
    """The simulated proxies."""
    return Process(str(BINARIES / "client"))


def gcp() -> Process:
    """go-control-plane."""
    return Process(str(BINARIES / "gcp"))


def ours(module: str) -> Process:
    """A server of ours, by the name of its module."""
    return Process(sys.executable, "-m", module, name=module)


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "started with pipes"
    return stream
