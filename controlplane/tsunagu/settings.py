"""Settings: where a mesh keeps its files, and how its control plane behaves; parsed once and passed down.

The one rule: nothing else reads the environment or spells a file name of HOME. (Agents, which may not import this,
are given the paths that they need.)
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the kernel takes as the path of a Unix socket: sun_path holds 108 bytes with the final NUL (unix(7)).
SOCKET_PATH_BYTES = 107

#: The file descriptor of the life pipe's read end, inherited from `up` by `serve`, `node` and the janitor.
LIFE_FD_VARIABLE = "TSUNAGU_LIFE_FD"

#: Set where every part of the mesh is a container (deploy/docker/compose.yaml), so that files are shared in volumes alone.
CONTAINERS_VARIABLE = "TSUNAGU_CONTAINERS"


#: The user's certificate authorities, the mesh's trust domain, and how long a task's certificate is good.
CA_VARIABLE = "TSUNAGU_CA"
TRUST_DOMAIN_VARIABLE = "TSUNAGU_TRUST_DOMAIN"
LEAF_VARIABLE = "TSUNAGU_LEAF_SECONDS"
LEAF_SECONDS = 3600.0
SHORTEST_LEAF = 5
LONGEST_LEAF = 30 * 86400
_AUTHORITY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, and what would be right."""


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one mesh and the files in it."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "registry.db"

    @property
    def applied(self) -> Path:
        """What `up` was asked for and has applied; it outlives a killed `up`, whose mesh the next one goes on with."""
        return self.root / "up.request"

    @property
    def key(self) -> Path:
        """32 random bytes under which the tokens of tasks are made (mode 0600)."""
        return self.root / "key"

    @property
    def authorities(self) -> Path:
        """The keys of the certificate authorities that were made here (mode 0700, files 0600): NAME/FINGERPRINT.pem."""
        return self.root / "ca"

    @property
    def api_socket(self) -> Path:
        """Registry, Inspector, health and reflection."""
        return self.root / "api.sock"

    @property
    def xds_directory(self) -> Path:
        """The folder of the socket for proxies, the only one that processes of tasks see of this home."""
        return self.root / "xds"

    @property
    def xds_socket(self) -> Path:
        """Aggregated discovery for the proxies: a link into `xds_directory`."""
        return self.root / "xds.sock"

    @property
    def aws_keys(self) -> Path:
        """The key pair with which clients sign what they send to the AWS endpoint (mode 0600)."""
        return self.root / "aws-keys.json"

    @property
    def aws_endpoint(self) -> Path:
        """Where the AWS endpoint listens, while it does: JSON with ``host`` and ``port``."""
        return self.root / "aws-endpoint.json"

    @property
    def hooks(self) -> Path:
        """What stands for the Lambda functions of lifecycle hooks: a command or a URL for each ARN (mode 0600)."""
        return self.root / "hooks.json"

    @property
    def node_socket(self) -> Path:
        """The NodeAgent API of the node that runs on this machine, if it is the mesh's only one."""
        return self.root / "node.sock"

    @property
    def tasks(self) -> Path:
        """The folder of the tasks of the mesh's only node."""
        return self.root / "tasks"

    @property
    def task_folders(self) -> list[Path]:
        """That folder, and those of each of several nodes."""
        return [self.root / "tasks", *self.root.glob("nodes/*/tasks")]

    @property
    def locks(self) -> list[Path]:
        """The lock files of all processes of a mesh."""
        return [*self.root.glob("*.lock"), *self.root.glob("nodes/*/*.lock")]

    def node_log(self, socket: str) -> Path:
        """Log of the node agent that listens at `socket`: of the mesh's only one, or one of several (nodes/NAME)."""
        folder = Path(socket.removeprefix("unix:")).parent
        return self.log(
            "node" if folder.parent.name != "nodes" or folder.parent.parent != self.root else f"node-{folder.name}"
        )

    @property
    def pid(self) -> Path:
        return self.root / "up.pid"

    @property
    def lock(self) -> Path:
        """Held (flock) by `up` for as long as it lives."""
        return self.root / "up.lock"

    def log(self, process: str) -> Path:
        """Log of ``serve``, ``node``, ``web`` or ``up``: JSON lines."""
        return self.root / "log" / f"{process}.log"

    def check(self) -> None:
        """Raises SettingsError when a socket's path would be longer than the kernel takes."""
        longest = max(len(os.fsencode(path)) for path in (self.api_socket, self.xds_socket, self.node_socket))
        if longest > SOCKET_PATH_BYTES:
            excess = longest - SOCKET_PATH_BYTES
            raise SettingsError(
                f"the mesh directory {self.root} is too long by {excess} bytes: a Unix socket's path may have "
                f"{SOCKET_PATH_BYTES}; choose a shorter one with --home or TSUNAGU_HOME"
            )


def home_of(home: Path | None, name: str, environment: Mapping[str, str]) -> Home:
    """The home that the options name: ``home`` as a path, or ``name`` among the homes of this user.

    Without either: $TSUNAGU_HOME, else ``default`` under $XDG_STATE_HOME/tsunagu or ~/.local/state/tsunagu.
    """
    if home is not None and name:
        raise SettingsError("--home and --name both say where the mesh is; give one of them")
    if "/" in name or name in {".", ".."}:
        raise SettingsError(f"--name {name!r} is not a name; a directory goes with --home")
    chosen = home
    if chosen is None and not name and environment.get("TSUNAGU_HOME"):
        chosen = Path(environment["TSUNAGU_HOME"])
    if chosen is None:
        state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        chosen = Path(state) / "tsunagu" / (name or "default")
    return Home(chosen.expanduser().absolute())


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """What certificates are made with. `authorities`: NAME -> (certificate's file, key's file) of the user's own; `trust_domain`:
    empty for the usual one; `leaf_seconds`: how long a task's certificate is good.
    """

    authorities: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    trust_domain: str = ""
    leaf_seconds: float = LEAF_SECONDS

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> IdentitySettings:
        """Reads TSUNAGU_CA (NAME=CERT,KEY; several with a semicolon between), TSUNAGU_TRUST_DOMAIN and TSUNAGU_LEAF_SECONDS.
        Raises SettingsError.
        """
        words = [word for word in environment.get(CA_VARIABLE, "").split(";") if word.strip()]
        seconds = environment.get(LEAF_VARIABLE, "") or str(LEAF_SECONDS)
        return cls(
            dict(authority(word) for word in words), environment.get(TRUST_DOMAIN_VARIABLE, ""), leaf_seconds(seconds)
        )


def authority(word: str) -> tuple[str, tuple[Path, Path]]:
    """The name and the two files of NAME=CERT,KEY. Raises SettingsError."""
    name, found, files = word.strip().partition("=")
    certificate, comma, key = files.partition(",")
    if not found or not comma or not certificate or not key or not _AUTHORITY.fullmatch(name):
        raise SettingsError(
            f"{word!r} is no certificate authority: it is NAME=CERTIFICATE,KEY, "
            "NAME of lower-case letters, digits and '-', the two files in PEM"
        )
    return name, (Path(certificate).expanduser().absolute(), Path(key).expanduser().absolute())


def leaf_seconds(text: str) -> float:
    """How long a task's certificate is good, in seconds. Raises SettingsError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not SHORTEST_LEAF <= seconds <= LONGEST_LEAF:
        raise SettingsError(
            f"a certificate that is good for {text!r} seconds: from {SHORTEST_LEAF} to {LONGEST_LEAF} may be asked for"
        )
    return seconds


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of one control plane."""

    home: Home
    life_fd: int | None = None  # read end of the life pipe; None: this control plane lives by itself
    log_level: str = "info"
    stop_seconds: float = 1.0  # how long running calls may take to end at a stop
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    identifier: str = field(default_factory=lambda: f"tsunagu-{os.getpid()}")
    hook_environment: Mapping[str, str] = field(default_factory=dict)  # of the commands that stand for functions

    @classmethod
    def parse(cls, home: Home, environment: Mapping[str, str]) -> ServeSettings:
        """Reads TSUNAGU_LIFE_FD, TSUNAGU_LOG_LEVEL, and what `IdentitySettings.parse` reads. Raises SettingsError."""
        home.check()
        own = {name: value for name, value in environment.items() if not name.endswith("_FD")}
        own["TSUNAGU_HOME"] = str(home.root)
        identity = IdentitySettings.parse(environment)
        return cls(home, life_fd(environment), log_level(environment), identity=identity, hook_environment=own)


def life_fd(environment: Mapping[str, str]) -> int | None:
    """The inherited read end of the life pipe. Raises SettingsError when the variable is no number."""
    text = environment.get(LIFE_FD_VARIABLE, "")
    if not text:
        return None
    if not text.isdecimal():
        raise SettingsError(f"{LIFE_FD_VARIABLE}={text!r} is not the number of a file descriptor")
    return int(text)


_LEVELS = ("debug", "info", "warning", "error")


def log_level(environment: Mapping[str, str]) -> str:
    """$TSUNAGU_LOG_LEVEL, ``info`` by default."""
    level = environment.get("TSUNAGU_LOG_LEVEL", "info").lower()
    if level not in _LEVELS:
        raise SettingsError(f"TSUNAGU_LOG_LEVEL={level!r}: the levels are {', '.join(_LEVELS)}")
    return level
