"""Who tests run as: ourselves, and (when we are root) somebody who is not."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@dataclass(frozen=True)
class User:
    """`user`: for subprocess; `python`: an interpreter that they may run; `why`: why there is none."""

    name: str
    user: int | None
    python: str
    env: dict[str, str] = field(default_factory=dict)
    why: str = ""

    def own(self, folder: Path) -> Path:
        """Makes the folder theirs."""
        if self.user is not None:
            os.chown(folder, self.user, self.user)
        return folder

    def options(self) -> dict:
        """Arguments for subprocess: as this user, and without what we may do."""
        env = {**os.environ, **self.env}
        return (
            {"env": env}
            if self.user is None
            else {"env": env, "user": self.user, "group": self.user, "extra_groups": []}
        )


def ourselves() -> User:
    return User("ourselves", None, sys.executable)


@functools.cache
def somebody_else() -> User:
    """An ordinary user; only root can become one."""
    if os.getuid() != 0:
        return User("plain", None, "", why="the tests run as an ordinary user already: there is nobody else to be")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    env = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "agents"), str(ROOT / "proto"), str(ROOT), *packages]),
        "HOME": "/",
    }
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        user = User("plain", NOBODY, python, env)
        if _runs(user):
            return user
    return User("plain", None, "", why=f"no {version} that an ordinary user may run with our packages")


def _runs(user: User) -> bool:
    command = [user.python, "-c", "import grpc, pyroute2, pytest, node_agent.linux"]
    try:
        return subprocess.run(command, capture_output=True, check=False, **user.options()).returncode == 0
    except OSError:
        return False
