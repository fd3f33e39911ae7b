"""Generates the Python stubs of the .proto files into ``controlplane/tsunagu/v1``, and tells whether they are stale.

``make proto`` runs it in an environment with grpcio-tools 1.76 (gencode 6.31.1, the oldest that works with protobuf
6.33 and 7). The one rule: ``stubs.lock.json`` holds the digest of every source and every stub as they were generated, so
that ``--check`` needs no compiler.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent
SOURCES = ROOT / "tsunagu" / "v1"
PACKAGES = ROOT.parent / "controlplane"
FOLDER = PACKAGES / "tsunagu" / "v1"
LOCK = SOURCES / "stubs.lock.json"
STUBS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def digests() -> dict[str, str]:
    """SHA-256 of each source and stub, by file name."""
    stubs = [path for pattern in STUBS for path in FOLDER.glob(pattern)]
    files = sorted([*SOURCES.glob("*.proto"), *stubs], key=lambda path: path.name)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def generate() -> None:
    import grpc_tools  # noqa: PLC0415  # only `make proto` has it
    from grpc_tools import protoc  # noqa: PLC0415

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    bin_folder = Path(sys.executable).parent
    named = [f"--plugin=protoc-gen-{name}={bin_folder}/protoc-gen-{name}" for name in ("mypy", "mypy_grpc")]
    for pattern in STUBS:
        for stale in FOLDER.glob(pattern):
            stale.unlink()
    for source in sorted(SOURCES.glob("*.proto")):
        serves = "\nservice " in source.read_text()
        outputs = [f"--python_out={PACKAGES}", f"--mypy_out=quiet:{PACKAGES}"]
        if serves:
            outputs += [f"--grpc_python_out={PACKAGES}", f"--mypy_grpc_out=quiet:{PACKAGES}"]
        failed = protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *named, *outputs, str(source)])
        if failed:
            sys.exit(f"protoc failed on {source.name}")


def main() -> int:
    if "--check" not in sys.argv[1:]:
        generate()
        LOCK.write_text(json.dumps(digests(), indent=1) + "\n")
        return 0
    locked, present = json.loads(LOCK.read_text()), digests()
    stale = sorted(name for name in locked.keys() | present.keys() if locked.get(name) != present.get(name))
    if stale:
        print(f"stale: {', '.join(stale)} in proto/ or controlplane/tsunagu/v1: run `make proto`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
