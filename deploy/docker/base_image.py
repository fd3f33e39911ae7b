#!/usr/bin/env python3
"""Makes the file system of a base image from this machine's own Debian packages, for where no registry of images is reached.

    python3 deploy/docker/base_image.py | docker import - tsunagu-base
    python3 deploy/docker/base_image.py --key       # changes when the image would

The tar on stdout holds the packages named (or PACKAGES) and all that they depend on: 70 MB with Python. Rule: nothing gets
in but what a package ships, so no account, secret or setting of the machine does. What the packages' scripts would make at
their installation (accounts, the bundle of certificates) is made here from the files that they ship for it. Python's
bytecode comes along, or each container would compile its modules anew.
"""

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

PACKAGES: Final = (
    "base-files",
    "base-passwd",
    "ca-certificates",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "libstdc++6",
    "python3",
    "sed",
)
MERGED: Final = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""Directories that are links into /usr on a Debian of today; packages still ship files under either name."""
SKIPPED: Final = re.compile(
    r"/usr/share/(doc|info|lintian|locale|man)/|/usr/lib/python3[.0-9]*/(idlelib|lib2to3|pydoc_data|test)/"
)
MASTERS: Final = {
    "etc/group": "/usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "/usr/share/base-files/nsswitch.conf",
    "etc/passwd": "/usr/share/base-passwd/passwd.master",
}
CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
FORMAT: Final = "${Package}\t${Version}\t${Provides}\t${Pre-Depends}, ${Depends}\t${db:Status-Status}\n"


class Impossible(Exception):
    """No image can be made here. The message says why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package. `depends`: of each group one package is needed. `provides`: other names that it goes by."""

    name: str
    version: str
    provides: frozenset[str]
    depends: tuple[tuple[str, ...], ...]


def installed(listing: str) -> dict[str, Package]:
    """Return the packages in a listing by dpkg-query (of the form FORMAT) under each name that they go by."""
    found = [parse(line) for line in listing.splitlines() if line.endswith("\tinstalled")]
    virtual = {name: package for package in found for name in sorted(package.provides)}
    return virtual | {package.name: package for package in found}


def parse(line: str) -> Package:
    """Return the package of one line. Versions and architectures of dependencies are fulfilled: they are installed."""
    name, version, provides, depends, _ = line.split("\t")
    groups = (tuple(bare(one) for one in group.split("|")) for group in depends.split(",") if group.strip())
    return Package(name, version, frozenset(bare(one) for one in provides.split(",") if one.strip()), tuple(groups))


def bare(dependency: str) -> str:
    """`python3:any (>= 3.11)` -> `python3`."""
    return dependency.strip().partition(" ")[0].partition(":")[0]


def closure(names: Iterable[str], known: Mapping[str, Package]) -> list[Package]:
    """Return the named packages and all that they depend on, sorted by name. Raises Impossible when one is missing."""
    found: dict[str, Package] = {}
    wanted = [(name,) for name in names]
    while wanted:
        group = wanted.pop()
        package = next((known[name] for name in group if name in known), None)
        if package is None:
            raise Impossible(f"the package {' or '.join(group)} is not installed here: apt-get install {group[0]}")
        if package.name not in found:
            found[package.name] = package
            wanted += package.depends
    return sorted(found.values(), key=lambda package: package.name)


def key(packages: Iterable[Package], program: bytes) -> str:
    """Return a short text that is another when an image of these packages, made by `program`, would be another."""
    lines = "".join(f"{package.name}={package.version}\n" for package in packages)
    return hashlib.sha256(lines.encode() + program).hexdigest()[:12]


def place(path: str) -> str:
    """Return where a shipped file lies in the image: its directory without symbolic links, and no slash before it."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)).lstrip("/")  # noqa: PTH118, PTH119, PTH120


def files(listing: str) -> Iterator[str]:
    """Yield the paths in the output of `dpkg -L` that are here and belong into an image, and the bytecode beside them."""
    for path in listing.splitlines():
        if not path.startswith("/") or path == "/." or SKIPPED.match(path + "/") or not os.path.lexists(path):
            continue
        yield path
        if path.endswith(".py"):
            yield from bytecode(Path(path))


def bytecode(module: Path) -> Iterator[str]:
    """Yield the files that Python has compiled a module to."""
    yield from map(str, module.parent.glob(f"__pycache__/{module.stem}.*.pyc"))


def write(tar: tarfile.TarFile, paths: Iterable[str]) -> None:
    """Add the files under the places that they have in the image, and what the packages' scripts would have made."""
    for name in MERGED:
        if Path("/", name).is_symlink():
            add_link(tar, name, f"usr/{name}")
    places = {place(path): path for path in paths}
    for where in sorted(places):
        if where not in MERGED:
            add_file(tar, places[where], where)
    for where, master in MASTERS.items():
        if Path(master).exists() and where not in places:
            add_text(tar, where, Path(master).read_bytes())
    bundle = sorted(path for path in places.values() if path.startswith("/usr/share/ca-certificates/"))
    add_text(tar, CERTIFICATES, b"".join(Path(path).read_bytes() for path in bundle if path.endswith(".crt")))


def add_file(tar: tarfile.TarFile, path: str, where: str) -> None:
    """Add a file, a directory or a link, owned by root."""
    entry = tar.gettarinfo(path, where)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    if entry.isreg():
        with Path(path).open("rb") as content:
            tar.addfile(entry, content)
    else:
        tar.addfile(entry)


def add_link(tar: tarfile.TarFile, where: str, target: str) -> None:
    """Add a symbolic link."""
    entry = tarfile.TarInfo(where)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)


def add_text(tar: tarfile.TarFile, where: str, content: bytes) -> None:
    """Add a file that everybody may read."""
    entry = tarfile.TarInfo(where)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def dpkg(*command: str) -> str:
    """Return the output of a program of dpkg. Raises Impossible where there is none."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        what = "this machine has no packages of dpkg"
        raise Impossible(f"{what}; use an image with Python instead: BASE=python:3.12-slim") from error


def make(names: Iterable[str], out: BinaryIO) -> None:
    """Write the image of the named packages as a tar. Raises Impossible."""
    listing = dpkg("dpkg", "--listfiles", *(package.name for package in needed(names)))
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        write(tar, files(listing))


def needed(names: Iterable[str]) -> list[Package]:
    """Return the closure of the named packages among those of this machine. Raises Impossible."""
    return closure(names, installed(dpkg("dpkg-query", "--show", f"--showformat={FORMAT}")))


def main(arguments: list[str] | None = None) -> None:
    """The command. Exit code 1: no image can be made, and why is on stderr; 2: it was not asked properly."""
    parser = argparse.ArgumentParser(description="A base image from this machine's packages, as a tar on stdout.")
    parser.add_argument("packages", nargs="*", default=PACKAGES, help=f"default: {' '.join(PACKAGES)}")
    parser.add_argument("--key", action="store_true", help="print what names the image's content instead")
    options = parser.parse_args(arguments)
    if sys.stdout.isatty() and not options.key:
        parser.error("the image is a tar: give it to `docker import - NAME`, or write it to a file")
    try:
        if options.key:
            print(key(needed(options.packages), Path(__file__).read_bytes()))
        else:
            make(options.packages, sys.stdout.buffer)
    except Impossible as error:
        sys.exit(f"base_image: {error}")


if __name__ == "__main__":
    main()
