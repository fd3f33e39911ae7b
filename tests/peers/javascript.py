"""AWS's JavaScript SDK, in both protocols that it has for Cloud Map, against the endpoint of a real mesh: `make peers`.

Rule: the SDK is the published one; only its `protocol` is chosen, since by itself it still speaks JSON.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tsunagu.testing import Mesh

SDK = "@aws-sdk/client-servicediscovery@3.1138.0"
PROGRAM = Path(__file__).with_suffix("").parent / "cloud_map.mjs"
FOLDER = Path(__file__).parents[2] / ".venv-peers" / "javascript"


def main() -> int:
    install()
    shutil.copy(PROGRAM, FOLDER)
    with Mesh(aws=True) as mesh:
        codes = [run(mesh, protocol) for protocol in ("json", "cbor")]
    print(f"{codes.count(0)} passed, {len(codes) - codes.count(0)} failed")
    return max(codes)


def install() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    subprocess.run(["npm", "install", *options, SDK], cwd=FOLDER, check=True)


def run(mesh: Mesh, protocol: str) -> int:
    """The exit code of the program in that protocol."""
    given = mesh.aws()
    variables = {
        "ENDPOINT": given["endpoint_url"].replace("tsunagu@", ""),
        "AWS_REGION": given["region_name"],
        "AWS_ACCESS_KEY_ID": given["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": given["aws_secret_access_key"],
    }
    command = ["node", PROGRAM.name, protocol]
    return subprocess.run(command, cwd=FOLDER, env={**os.environ, **variables}, timeout=120, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
