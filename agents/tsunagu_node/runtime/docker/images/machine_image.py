"""An image made of this machine's own files: the sidecar's, so that nobody has to pull, build or publish one.

It has Envoy as it is installed here, a Python for what runs inside a task (`inside`), and the libraries of both, under the
paths that they have here. Rule: it is named by its content, so that it is made once, and anew after an upgrade. It has no
shell, and no program that is not needed.
"""

import hashlib
import os
import shutil
import stat
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tsunagu_node
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.images import elf

ROOT: Final = "/opt/tsunagu"
"""The folder in the image that holds the package `tsunagu_node`: what of it runs inside a task."""
_INSIDE: Final = (
    "__init__.py",
    "runtime/__init__.py",
    "runtime/netfilter.py",
    "runtime/rtnetlink.py",
    "runtime/docker/__init__.py",
    "runtime/docker/inside/*.py",
    "runtime/linux/__init__.py",
    "runtime/linux/init/*.py",
)
_NOT_NEEDED: Final = frozenset(
    ("test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "site-packages", "dist-packages")
)
_LATE: Final = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")
_TEXTS: Final = {
    "/etc/passwd": "root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",  # without it glibc asks DNS first
}
_CACHE: Final = Path("/etc/ld.so.cache")  # where libraries are that lie outside of the loader's own folders
_PIECE: Final = 1 << 20
_BLOCK: Final = 512


@dataclass(slots=True)
class Contents:
    """What an image holds. `places`: path in the image -> file of this machine; `links`: path -> target of a symbolic link."""

    places: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Take a file under the path that it has here, with each symbolic link on the way to it."""
        waiting, at = list(reversed(path.parts[1:])), Path("/")
        while waiting:
            at /= waiting.pop()
            if at.is_symlink():
                target = self.links[str(at)] = str(at.readlink())
                waiting += reversed(Path(target).parts)
                at = at.parent
            at = Path(os.path.normpath(at))
        self.places[str(at)] = at

    def fingerprint(self) -> str:
        """Return a name for the content: of each file the path, size, mode and time of its last change."""
        digest = hashlib.sha256(repr((sorted(self.links.items()), sorted(_TEXTS.items()))).encode())
        for key, path in sorted(self.places.items()):
            found = path.stat()
            digest.update(f"{key} {found.st_size} {found.st_mode} {found.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def tar(self) -> Iterator[bytes]:
        """Yield the image's file system as a tar archive, in pieces."""
        yield _head("/tmp", tarfile.DIRTYPE, mode=0o1777)  # noqa: S108 - in the image
        made = {"/", "/tmp"}  # noqa: S108
        for key in sorted({*_TEXTS, *self.links, *self.places}):
            yield from _folders(key, made)
            if key in self.links:
                yield _head(key, tarfile.SYMTYPE, linkname=self.links[key])
            elif key in self.places:
                yield from _file(key, self.places[key])
            else:
                yield _head(key, tarfile.REGTYPE, size=len(_TEXTS[key])) + _padded(_TEXTS[key].encode())
        yield bytes(2 * _BLOCK)


def sidecar(envoy: Path) -> Contents:
    """Return what the sidecar's image holds. Raises RuntimeFailed when this machine's Python or Envoy cannot be copied."""
    sleep = shutil.which("sleep")
    if sleep is None:
        raise RuntimeFailed("there is no program `sleep` on this machine, of which the sidecar's image is made")
    contents = of_programs((envoy, Path(sleep)))
    contents.links |= {"/usr/local/bin/envoy": str(envoy), "/usr/local/bin/sleep": str(Path(sleep).resolve())}
    package = Path(tsunagu_node.__file__).parent
    for path in (path for pattern in _INSIDE for path in package.glob(pattern)):
        contents.places[f"{ROOT}/tsunagu_node/{path.relative_to(package)}"] = path
    return contents


def of_programs(programs: Sequence[Path]) -> Contents:
    """Return this machine's Python (at /usr/local/bin/python3, too) and `programs`, with all libraries. Raises RuntimeFailed."""
    python = Path(os.path.realpath(sys.executable))
    by = elf.loader(python)
    if not by:
        raise RuntimeFailed(f"{python} names no loader of shared libraries, so that no image can be made of it")
    contents = Contents()
    extensions = [path for folder in _library_folders() for path in folder.glob("lib-dynload/*.so")]
    objects = [path.resolve() for path in (python, *programs, *extensions)]
    found = elf.libraries(objects, by)
    for path in (Path(by), python, *programs, *found, *_loaded_late(found), *standard_library()):
        contents.add(path)
    contents.links["/usr/local/bin/python3"] = str(python)
    if _CACHE.exists():
        contents.places[str(_CACHE)] = _CACHE
    return contents


def standard_library() -> Iterator[Path]:
    """Yield the files of Python's standard library that a program may need."""
    for folder in _library_folders():
        for root, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name not in _NOT_NEEDED and not name.startswith("config-")]
            yield from (Path(root, name) for name in files if not name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc")))


def _library_folders() -> set[Path]:
    """Return the folders of the standard library; not those of a virtual environment, which has none of its own."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return {Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}


def _loaded_late(libraries: Iterable[Path]) -> Iterator[Path]:
    """Yield what glibc loads when it is first needed: to look up names, and to end a thread."""
    for libc in (path for path in libraries if path.name == "libc.so.6"):
        yield from (path for path in map(libc.with_name, _LATE) if path.exists())


def _folders(key: str, made: set[str]) -> Iterator[bytes]:
    for parent in reversed([str(parent) for parent in Path(key).parents]):
        if parent not in made:
            made.add(parent)
            yield _head(parent, tarfile.DIRTYPE, mode=0o755)


def _file(key: str, path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        # A compiled module counts only beside a source of the time that it names.
        yield _head(key, tarfile.REGTYPE, mode=mode, size=found.st_size, mtime=int(found.st_mtime))
        while piece := file.read(_PIECE):
            yield piece if len(piece) == _PIECE else _padded(piece)


def _head(key: str, kind: bytes, **fields: int | str) -> bytes:
    entry = tarfile.TarInfo(key.removeprefix("/"))
    entry.type = kind
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padded(piece: bytes) -> bytes:
    return piece + bytes(-len(piece) % _BLOCK)
