"""An image of this machine's own files."""

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from tsunagu_node.runtime.docker.images import elf, machine_image
from tsunagu_node.runtime.docker.images.machine_image import Contents, of_programs


@pytest.fixture
def files(tmp_path):
    """A program behind links: bin -> usr/bin, prog -> prog-1."""
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    program = tmp_path / "usr" / "bin" / "prog-1"
    program.write_bytes(b"x" * 1000)
    program.chmod(0o755)
    (tmp_path / "usr" / "bin" / "prog").symlink_to("prog-1")
    return tmp_path


def unpacked(contents: Contents) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(contents.tar())))


def test_a_file_is_taken_with_the_links_that_lead_to_it(files):
    contents = Contents()
    contents.add(files / "bin" / "prog")
    assert contents.links == {str(files / "bin"): "usr/bin", str(files / "usr" / "bin" / "prog"): "prog-1"}
    assert contents.places == {str(files / "usr" / "bin" / "prog-1"): files / "usr" / "bin" / "prog-1"}


def test_the_archive_holds_them(files):
    contents = Contents()
    contents.add(files / "bin" / "prog")
    archive = unpacked(contents)
    inside = str(files).removeprefix("/")
    program = archive.getmember(f"{inside}/usr/bin/prog-1")
    assert (program.size, program.mode, program.mtime) == (1000, 0o755, int((files / "usr/bin/prog-1").stat().st_mtime))
    assert archive.getmember(f"{inside}/bin").linkname == "usr/bin"
    assert archive.getmember(inside).mode == 0o755
    assert archive.getmember("tmp").mode == 0o1777
    assert archive.extractfile("etc/nsswitch.conf").read() == b"hosts: files dns\n"


def test_it_is_named_by_its_content(files):
    contents = Contents()
    contents.add(files / "bin" / "prog")
    before = contents.fingerprint()
    assert contents.fingerprint() == before
    os.utime(files / "usr" / "bin" / "prog-1", (1, 1))
    assert contents.fingerprint() != before


def test_python_comes_with_its_libraries_and_its_standard_library():
    contents = of_programs([])
    names = {Path(key).name for key in contents.places}
    assert {"libc.so.6", "socket.py", "os.py"} <= names
    assert os.path.realpath(sys.executable) in contents.places
    assert not [key for key in contents.places if "/site-packages/" in key or "/test/" in key]


def test_what_is_no_program_has_no_loader(tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert elf.loader(tmp_path / "script") == ""


def test_the_modules_that_run_inside_are_there():
    package = Path(machine_image.__file__).parents[3]
    found = {str(path.relative_to(package)) for pattern in machine_image._INSIDE for path in package.glob(pattern)}
    assert {"runtime/docker/inside/hand_over.py", "runtime/linux/init/relay.py", "runtime/netfilter.py"} <= found
