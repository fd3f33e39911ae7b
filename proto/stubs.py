"""Generates the Python stubs beside the .proto files, and tells whether they are stale.

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
FOLDER = ROOT / "tsunagu" / "v1"
LOCK = FOLDER / "stubs.lock.json"
STUBS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def digests() -> dict[str, str]:
    """SHA-256 of each source and stub, by file name."""
    files = sorted(path for pattern in ("*.proto", *STUBS) for path in FOLDER.glob(pattern))
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
    for source in sorted(FOLDER.glob("*.proto")):
        serves = "\nservice " in source.read_text()
        outputs = [f"--python_out={ROOT}", f"--mypy_out=quiet:{ROOT}"]
        if serves:
            outputs += [f"--grpc_python_out={ROOT}", f"--mypy_grpc_out=quiet:{ROOT}"]
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
        print(f"stale: {', '.join(stale)} in proto/tsunagu/v1: run `make proto`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
