"""Runs the Docker engine of the tests for as long as a test run uses it: `python keeper.py FOLDER DATA`.

A user of the engine holds FOLDER/users.lock, shared, and the kernel drops the lock however a user ends. Rule: once nobody
holds it the engine stops, and nothing of it is left but its images in DATA, which the next run needs not build again. It has
a data folder, a socket and a bridge of its own, so that it never touches another engine of this machine.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DOCKER, DOCKERD = "/usr/bin/docker", "/usr/sbin/dockerd"
ENDED = "ended"
KEPT = 2  # of each image, that many versions
START_SECONDS, STOP_SECONDS = 60.0, 30.0
_PR_SET_PDEATHSIG = 1


def number(folder: Path) -> int:
    """A number for this engine, by which its bridge and its addresses differ from those of others beside it."""
    return int(folder.name.rpartition("-")[2], 16) % 200


def bridge(folder: Path) -> str:
    return f"tsu-{folder.name.rpartition('-')[2]}"


def make_bridge(folder: Path) -> None:
    """Not docker0: an engine without a bridge, or on that one, would take another engine's away."""
    remove_bridge(folder)
    name = bridge(folder)
    for words in (
        ("link", "add", name, "type", "bridge"),
        ("address", "add", f"10.{number(folder)}.255.1/24", "dev", name),
        ("link", "set", name, "up"),
    ):
        subprocess.run(["ip", *words], check=True)


def remove_bridge(folder: Path) -> None:
    subprocess.run(["ip", "link", "delete", bridge(folder)], check=False, capture_output=True)


def command(folder: Path, data: Path) -> list[str]:
    options = {
        "host": f"unix://{folder}/docker.sock",
        "data-root": str(data),
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/dockerd.pid",
        "bridge": bridge(folder),
        # Networks that tests make; below 10.200 nothing else is on a machine of ours.
        "default-address-pool": f"base=10.{number(folder)}.0.0/17,size=24",
        "exec-opt": "native.cgroupdriver=cgroupfs",
        "iptables": "false",
        "ip6tables": "false",
        "ip-forward": "false",
    }
    return [DOCKERD, *(f"--{name}={value}" for name, value in options.items())]


def die_with_keeper() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def docker(folder: Path, *words: str) -> str:
    line = [DOCKER, "--host", f"unix://{folder}/docker.sock", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60).stdout


def tidy(folder: Path) -> None:
    """Remove the containers that tests have left, and versions of images that have been followed by others."""
    if left := docker(folder, "ps", "--all", "--quiet").split():
        docker(folder, "rm", "--force", "--volumes", *left)
    docker(folder, "network", "prune", "--force")
    docker(folder, "volume", "prune", "--force")
    seen: dict[str, int] = {}
    for line in docker(folder, "images", "--format", "{{.Repository}} {{.Repository}}:{{.Tag}}").splitlines():
        repository, _, name = line.partition(" ")  # the newest first
        seen[repository] = seen.get(repository, 0) + 1
        if seen[repository] > KEPT and "<none>" not in name:
            docker(folder, "rmi", name)
    docker(folder, "image", "prune", "--force", "--filter", "until=24h")


def stop(engine: subprocess.Popen[bytes]) -> None:
    engine.send_signal(signal.SIGTERM)
    try:
        engine.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()


def until_unused(users: int, engine: subprocess.Popen[bytes]) -> bool:
    """Wait until nobody uses the engine: who comes after that waits until it is gone. False: it has died meanwhile."""
    while engine.poll() is None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.2)
        else:
            return True
    return False


def main(folder: Path, data: Path) -> None:
    for one in (folder, data):
        one.mkdir(parents=True, exist_ok=True)
    make_bridge(folder)
    with (folder / "dockerd.log").open("wb") as log, (folder / "users.lock").open("w") as users:
        engine = subprocess.Popen(
            command(folder, data),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_keeper,  # noqa: PLW1509 - there is one thread
        )
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            if until_unused(users.fileno(), engine):
                tidy(folder)
        finally:
            stop(engine)
            remove_bridge(folder)
            shutil.rmtree(folder / "exec", ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                (folder / "docker.sock").unlink()
            (folder / ENDED).touch()


def answers(folder: Path) -> bool:
    return bool(docker(folder, "version", "--format", "{{.Server.Version}}").strip())


def last_words(folder: Path) -> list[str]:
    logs = (folder / name for name in ("keeper.log", "dockerd.log"))
    return [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()[-8:]]


def start(folder: Path, data: Path) -> None:
    """Start a keeper, if there is none, and return when its engine answers. The caller holds users.lock, shared.

    Raises RuntimeError with the engine's last words.
    """
    with (folder / "start.lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if answers(folder):
            return
        (folder / ENDED).unlink(missing_ok=True)
        with (folder / "keeper.log").open("wb") as log:
            # It outlives this process, whose child it must not be.
            line = ["setsid", "--fork", sys.executable, __file__, str(folder), str(data)]
            subprocess.run(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        deadline = time.monotonic() + START_SECONDS
        while not answers(folder):
            if (folder / ENDED).exists() or time.monotonic() > deadline:
                raise RuntimeError("\n".join(["dockerd did not start", *last_words(folder)]))
            time.sleep(0.1)


if __name__ == "__main__":
    os.chdir("/")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
