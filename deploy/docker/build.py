#!/usr/bin/env python3
"""Builds the images where the inside of a build reaches no index of packages, and, if need be, no registry of images either.

    python3 deploy/docker/build.py                  # wheels from outside; BASE from a registry
    python3 deploy/docker/build.py --base machine   # BASE, too, is made here, from this machine's own packages

Elsewhere `docker build -f deploy/docker/Dockerfile` or compose does without this. Rule: the Dockerfile alone says what an
image is; this program only brings within its reach what it needs.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
WHEELS: Final = HERE / "wheels"
TARGETS: Final = ("sidecar", "mesh", "shop")
# Not tsunagu-sidecar: so is the image called that the docker runtime makes for itself, and whose other versions it removes.
REPOSITORIES: Final = {"sidecar": "tsunagu-envoy", "mesh": "tsunagu-mesh"}
SHOP: Final = {
    "public.ecr.aws/tsunagu/shop-web:1": "web",
    "public.ecr.aws/tsunagu/shop-orders:1": "orders",
    "public.ecr.aws/tsunagu/shop-orders:2": "orders",
    "public.ecr.aws/tsunagu/shop-inventory:1": "inventory",
    "public.ecr.aws/tsunagu/shop-stock:1": "stock",
}
"""The images of the target `shop`, as examples/01-shop calls them, and the app in each."""
MACHINE: Final = "machine"
MACHINES_PYTHON: Final = "/usr/bin/python3"  # the one that base_image.py takes
EXTRAS: Final = ("mesh",)


def requirements() -> list[str]:
    """Return what the image `mesh` needs, as install.py will ask for it, and the pip that installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        *project["dependencies"],
        *(one for name in EXTRAS for one in project["optional-dependencies"][name]),
        "pip",
    ]


def fill_wheels(python: str) -> None:
    """Download into WHEELS what is needed for that version of Python (X.Y), unless just that lies there."""
    stamp = WHEELS / "made-for.txt"
    wanted = "\n".join([python, *requirements()])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", python]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(WHEELS), *requirements()]
    subprocess.run(command, check=True)
    stamp.write_text(wanted)


def machines_python() -> str:
    """Return the version (X.Y) of the Python in the machine's packages."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([MACHINES_PYTHON, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def make_base(docker: str) -> str:
    """Return the name of a base image of this machine's packages, which is made if there is none yet."""
    program = [sys.executable, str(HERE / "base_image.py")]
    key = subprocess.run([*program, "--key"], check=True, capture_output=True, text=True).stdout.strip()
    name = f"tsunagu-base:{key}"
    if subprocess.run([docker, "image", "inspect", name], capture_output=True, check=False).returncode:
        with subprocess.Popen(program, stdout=subprocess.PIPE) as making:
            subprocess.run([docker, "import", "-", name], stdin=making.stdout, stdout=subprocess.DEVNULL, check=True)
        if making.returncode:
            raise subprocess.CalledProcessError(making.returncode, program)
    return name


def names(target: str, tag: str) -> dict[str, str]:
    """Return the images that are built of one stage: name -> the value of APP."""
    return SHOP if target == "shop" else {f"{REPOSITORIES[target]}:{tag}": ""}


def build(docker: str, target: str, name: str, base: str, app: str = "") -> None:
    """Build an image of one stage of the Dockerfile."""
    values = {"BASE": base} | ({"APP": app} if app else {})
    options = ["--file", str(HERE / "Dockerfile"), "--target", target, "--tag", name]
    options += [word for key, value in values.items() for word in ("--build-arg", f"{key}={value}")]
    subprocess.run([docker, "build", "--quiet", *options, str(ROOT)], check=True, stdout=subprocess.DEVNULL)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exit code 1: a step failed, and said why."""
    parser = argparse.ArgumentParser(description="Builds tsunagu-envoy, tsunagu-mesh, and the images of the shop.")
    parser.add_argument("targets", nargs="*", default=TARGETS, help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--base", default="python:3.12-slim", help=f"an image with Python, or {MACHINE!r}")
    parser.add_argument("--python", help="the version (X.Y) of the base image's Python (default: 3.12)")
    parser.add_argument("--tag", default="latest")
    parser.add_argument("--docker", default=os.environ.get("DOCKER", "docker"), help="the client; $DOCKER")
    options = parser.parse_args(arguments)
    if unknown := [one for one in options.targets if one not in TARGETS]:
        parser.error(f"there is no image {unknown[0]!r}; there are {', '.join(TARGETS)}")
    try:
        fill_wheels(options.python or (machines_python() if options.base == MACHINE else "3.12"))
        base = make_base(options.docker) if options.base == MACHINE else options.base
        for target in options.targets:
            for name, app in names(target, options.tag).items():
                build(options.docker, target, name, base, app)
                print(name)
    except subprocess.CalledProcessError as error:
        sys.exit(f"build: {error.cmd[0]} failed with {error.returncode}")


if __name__ == "__main__":
    main()
