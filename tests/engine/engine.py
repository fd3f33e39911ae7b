"""The Docker engine that tests use, and its images.

Rule: an image is named after its content (`tsunagu-mesh:KEY`), so it is built once and by whoever comes first; and tests
never run an image that is not there, for the engine would ask a public registry for it.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.engine import keeper

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "docker"
GIVEN = "TSUNAGU_TEST_ENGINE"
#: What an image of the Dockerfile is made from, beside its base.
SOURCES = (
    ".dockerignore",
    "agents",
    "controlplane",
    "deploy/docker/Dockerfile",
    "deploy/docker/install.py",
    "examples/01-shop/apps",
)


class Unavailable(Exception):
    """Tests have no engine here. The message says why."""


@dataclass(frozen=True)
class Engine:
    """An engine of Docker's. `host`: its address as in DOCKER_HOST. `folder`: for locks."""

    host: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that is to use this engine."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER": keeper.DOCKER}

    @property
    def socket(self) -> Path:
        return Path(self.host.removeprefix("unix://"))

    def docker(self, *words: str, stdin: bytes | None = None, timeout: float = 120.0) -> str:
        """The output of Docker's client. A failure is a test's failure, with what it said."""
        line = [keeper.DOCKER, "--host", self.host, *words]
        done = subprocess.run(line, input=stdin, capture_output=True, check=False, timeout=timeout)
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}"
        return done.stdout.decode()

    def has(self, image: str) -> bool:
        line = [keeper.DOCKER, "--host", self.host, "image", "inspect", image]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    @cached_property
    def base(self) -> str:
        """An image with Python and a shell, of this machine's own packages."""
        with self._building():
            return deploy().make_base(keeper.DOCKER)

    @cached_property
    def sidecar(self) -> str:
        return self._built("sidecar")

    @cached_property
    def mesh(self) -> str:
        return self._built("mesh")

    @cached_property
    def shop(self) -> tuple[str, ...]:
        """The images of examples/01-shop, under the names that its task definitions have for them."""
        for name, app in deploy().SHOP.items():
            self.docker("tag", self._built("shop", app), name)
        return tuple(deploy().SHOP)

    def image(self, name: str, recipe: str, files: Mapping[str, str] | None = None) -> str:
        """A small image. `recipe`: a Dockerfile, in which BASE stands for `base`; `files`: its context, path -> text."""
        recipe = recipe.replace("BASE", self.base)
        context = {"Dockerfile": recipe, **(files or {})}
        reference = f"{name}:{digest(*(text for pair in sorted(context.items()) for text in pair))}"
        with self._building():
            if not self.has(reference):
                self.docker("build", "--quiet", "--tag", reference, "-", stdin=packed(context))
        return reference

    def _built(self, target: str, app: str = "") -> str:
        tag = digest(self.base, *deploy().requirements(), *contents(sources()))
        name = f"{deploy().REPOSITORIES.get(target, f'tsunagu-{target}-{app}')}:{tag}"
        with self._building():
            if not self.has(name):
                deploy().fill_wheels(deploy().machines_python())
                deploy().build(keeper.DOCKER, target, name, self.base, app)
        return name

    @contextlib.contextmanager
    def _building(self) -> Iterator[None]:
        """One process builds at a time; the programs of deploy/docker find this engine."""
        before = os.environ.get("DOCKER_HOST")
        with (self.folder / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.environ["DOCKER_HOST"] = self.host
            try:
                yield
            finally:
                if before is None:
                    del os.environ["DOCKER_HOST"]
                else:
                    os.environ["DOCKER_HOST"] = before


def deploy():
    """The module deploy/docker/build.py, which users run as a program."""
    if str(DEPLOY) not in sys.path:
        sys.path.append(str(DEPLOY))
    import build

    return build


def sources() -> Iterator[Path]:
    for one in map(ROOT.joinpath, SOURCES):
        yield from (path for path in one.rglob("*") if "__pycache__" not in path.parts) if one.is_dir() else (one,)


def contents(paths: Iterator[Path]) -> Iterator[str]:
    """The names and the contents of files, in order."""
    for path in sorted(path for path in paths if path.is_file()):
        yield str(path.relative_to(ROOT))
        yield hashlib.sha256(path.read_bytes()).hexdigest()


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def packed(files: Mapping[str, str]) -> bytes:
    """A tar of text files, which all may read and run."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            content = text.encode()
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """The engine for the length of the block, shared by all test processes of this checkout. Raises Unavailable."""
    if given := os.environ.get(GIVEN):
        folder = ROOT / ".venv" / "engine"
        folder.mkdir(parents=True, exist_ok=True)
        yield Engine(given, folder)
        return
    if lack := lacking():
        raise Unavailable(lack)
    folder = Path("/run", f"tsunagu-engine-{digest(str(ROOT))[:8]}")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        keeper.start(folder, ROOT / ".venv" / "engine" / "data")
        yield Engine(f"unix://{folder}/docker.sock", folder)


def lacking() -> str:
    """Why no engine can be started here; empty if one can."""
    for program in (keeper.DOCKERD, keeper.DOCKER):
        if not Path(program).exists():
            return f"{program} is not installed (of Debian's packages: docker.io)"
    if os.geteuid():
        return f"an engine of the tests' own needs root; {GIVEN}=unix:///var/run/docker.sock lets them use yours"
    return ""
