"""The processes of a task, by name: which container each has, whether it runs, and how it ended. Pure but for `saved`.

Rule: an end counts once, and only for the run that it belongs to: what an engine says of an earlier run of the same
container, late or again after a reconnect, changes nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime.contract import CannotStart, EngineContainer, ProcessExited, ProcessState

STATE: Final = "state.json"
OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
_KILLED: Final = 137
_NEVER: Final = "0001-"
_NANOSECONDS: Final = re.compile(r"(\.\d{1,6})\d*")


@dataclass(slots=True)
class Kept:
    """A process. `container`: the ID of its container. `pid`: as the machine's `ps` shows it; 0 when it does not run.

    `stop_signal`: the one with which its image wants to be asked to end. `oom`: its memory was not enough in this run.
    """

    container: str
    state: ProcessState
    pid: int = 0
    stop_signal: str = ""
    oom: bool = False

    @property
    def runs(self) -> bool:
        return self.state.code is None

    def learn(self, inspected: Mapping[str, Any]) -> None:
        """Take over what the engine says of the container of a process that was just started: when, too, for a node agent that
        adopts it knows it from there.
        """
        self.stop_signal = inspected["Config"].get("StopSignal") or ""
        started = seconds(inspected["State"]["StartedAt"]) or self.state.started
        self.state = replace(self.state, container=_engine_container(inspected), started=started)
        if self.runs and inspected["State"]["Running"]:
            self.pid = int(inspected["State"]["Pid"])


class ProcessTable:
    """Names of processes, each with its last container."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def states(self) -> Mapping[str, ProcessState]:
        return {name: kept.state for name, kept in self._kept.items()}

    def get(self, name: str) -> Kept | None:
        return self._kept.get(name)

    def running(self) -> Iterator[tuple[str, Kept]]:
        yield from [(name, kept) for name, kept in self._kept.items() if kept.runs]

    def containers(self) -> list[str]:
        """Return the IDs of the containers of all processes, running or not."""
        return [kept.container for kept in self._kept.values()]

    def check_free(self, name: str) -> None:
        """Raises CannotStart when a process of this name runs."""
        if (kept := self._kept.get(name)) and kept.runs:
            raise CannotStart(f"{name} is running, with pid {kept.pid}")

    def begin(self, name: str, container: str, now: float) -> Kept:
        """Take note that the container is about to be started; return its entry."""
        kept = self._kept[name] = Kept(container, ProcessState(None, now, None))
        return kept

    def abandon(self, name: str) -> None:
        """Take note that it could not be started."""
        self._kept.pop(name, None)

    def adopt(self, name: str, inspected: Mapping[str, Any]) -> None:
        """Take over a container as the engine describes it."""
        state = inspected["State"]
        started = seconds(state["StartedAt"])
        if not started:
            return  # it was made, and never started
        runs = bool(state["Running"])
        code = None if runs else int(state["ExitCode"])
        reason = OUT_OF_MEMORY if state.get("OOMKilled") and not runs else ""
        ended = None if runs else seconds(state["FinishedAt"])
        found = ProcessState(code, started, ended, _engine_container(inspected), reason)
        signal = inspected["Config"].get("StopSignal") or ""
        self._kept[name] = Kept(inspected["Id"], found, int(state["Pid"]) if runs else 0, signal)

    def out_of_memory(self, name: str, container: str) -> None:
        """Take note that the memory of a container was not enough, which the event of its end does not say."""
        if (kept := self._kept.get(name)) and kept.container == container and kept.runs:
            kept.oom = True

    def ended(self, name: str, container: str, code: int, at: float) -> ProcessExited | None:
        """Take note of an end at the time `at`; return the event, None when it is no news."""
        kept = self._kept.get(name)
        if kept is None or kept.container != container or not kept.runs or at < kept.state.started:
            return None
        reason = OUT_OF_MEMORY if kept.oom and code == _KILLED else ""
        kept.state = replace(kept.state, code=code, ended=at, reason=reason)
        kept.pid = 0
        return ProcessExited(name, code, reason)

    def save(self, directory: Path) -> None:
        """Write how each process is, for a node agent that starts after the containers are gone. Raises OSError."""
        aside = directory / f"{STATE}.new"
        aside.write_text(json.dumps({name: asdict(state) for name, state in self.states().items()}))
        aside.rename(directory / STATE)


def saved(directory: Path) -> Mapping[str, ProcessState]:
    """Return what was saved; empty when there is nothing that can be read."""
    try:
        fields = json.loads((directory / STATE).read_text())
        return {name: _read(one) for name, one in fields.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _read(fields: Mapping[str, Any]) -> ProcessState:
    container = fields["container"]
    return ProcessState(**{**fields, "container": EngineContainer(**container) if container else None})


def _engine_container(inspected: Mapping[str, Any]) -> EngineContainer:
    return EngineContainer(inspected["Id"], inspected["Name"].removeprefix("/"), inspected["Image"])


def seconds(stamp: str) -> float:
    """Return the seconds since the epoch of an engine's time (nanoseconds, UTC or an offset); 0: it has not come yet."""
    if not stamp or stamp.startswith(_NEVER):
        return 0.0
    return datetime.fromisoformat(_NANOSECONDS.sub(r"\1", stamp)).timestamp()
