"""What an ordinary user does with the shop: `python plain_shop.py MESH_DIRECTORY PORT`. Raises when something is amiss."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

SHOP = Path(__file__).resolve().parents[2] / "examples" / "01-shop" / "shop.yaml"


def main(home: str, port: str) -> None:
    assert os.getuid() != 0
    assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
    tsunagu("up", SHOP, "--detach", "--publish", f"{port}=web:80", home=home)
    with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        body = json.load(answer)
    assert body["orders"]["inventory"]["items"] == ["apples", "pears"]
    assert body["orders"]["task"] in tsunagu("ps", "orders", home=home)
    assert "listening on" in tsunagu("logs", "web", home=home)
    # An ordinary user there, too, and one that may listen at port 80.
    assert tsunagu("exec", body["task"], "--", "sh", "-c", "id -u; grep -c orders /etc/hosts", home=home).split() == [
        "1000",
        "1",
    ]
    assert "alias/shop/orders:80" in tsunagu("envoy", body["task"], "listeners", home=home)
    assert tsunagu("proxies", home=home).count("SYNCED") >= len(body)
    tsunagu("down", home=home)


def tsunagu(*words: object, home: str) -> str:
    command, *rest = map(str, words)
    arguments = [sys.executable, "-m", "tsunagu.cli", command, "--home", home, *rest]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
