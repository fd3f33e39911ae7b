"""deploy/docker/base_image.py: which packages and files go into an image that is made from this machine's own."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "deploy" / "docker" / "base_image.py"
LISTING = """\
python3\t3.11\tpython3-supported\t, python3.11 (>= 3.11.2-1~), libpython3-stdlib\tinstalled
python3.11\t3.11.2\t\tlibc6 (>= 2.36), media-types | mime-support\tinstalled
libpython3-stdlib\t3.11\t\t\tinstalled
libc6\t2.36\t\tlibcrypt1 (>= 1:4.4)\tinstalled
libcrypt1\t4.4\t\tlibc6\tinstalled
mailcap\t3.70\tmime-support, other (= 1)\t\tinstalled
gone\t1\t\t\tnot-installed
"""


@pytest.fixture(scope="module")
def base_image():
    spec = importlib.util.spec_from_file_location("base_image", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(packages):
    return [package.name for package in packages]


def test_a_package_brings_all_that_it_depends_on(base_image):
    known = base_image.installed(LISTING)
    assert names(base_image.closure(["python3"], known)) == [
        *("libc6", "libcrypt1", "libpython3-stdlib", "mailcap", "python3", "python3.11"),
    ]


def test_an_alternative_is_fulfilled_by_whoever_provides_it(base_image):
    assert "mailcap" in names(base_image.closure(["python3.11"], base_image.installed(LISTING)))


def test_packages_that_depend_on_each_other_come_once(base_image):
    assert names(base_image.closure(["libc6"], base_image.installed(LISTING))) == ["libc6", "libcrypt1"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(base_image):
    with pytest.raises(base_image.Impossible, match="the package gone is not installed here: apt-get install gone"):
        base_image.closure(["gone"], base_image.installed(LISTING))


def test_the_key_follows_the_versions_and_the_program(base_image):
    known = base_image.installed(LISTING)
    newer = base_image.installed(LISTING.replace("2.36\t\tlibcrypt1", "2.37\t\tlibcrypt1"))
    key = base_image.key(base_image.closure(["libc6"], known), b"program")
    assert key == base_image.key(base_image.closure(["libc6"], known), b"program")
    assert key != base_image.key(base_image.closure(["libc6"], newer), b"program")
    assert key != base_image.key(base_image.closure(["libc6"], known), b"another")


def test_a_file_lies_where_it_really_is_however_a_package_calls_it(base_image, tmp_path):
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    assert base_image.place(f"{tmp_path}/lib/libc.so.6") == f"{tmp_path}/usr/lib/libc.so.6".lstrip("/")


def test_documentation_stays_outside_and_bytecode_comes_along(base_image, tmp_path):
    module = tmp_path / "mod.py"
    module.touch()
    (tmp_path / "__pycache__").mkdir()
    compiled = tmp_path / "__pycache__" / "mod.cpython-311.pyc"
    compiled.touch()
    listing = f"/.\n/usr/share/doc\n/usr/share/doc/x\n  diverted by y to: z\n{module}\n{tmp_path}/missing\n"
    assert list(base_image.files(listing)) == [str(module), str(compiled)]
