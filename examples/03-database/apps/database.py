"""Runs PostgreSQL as a container of a task does: on a folder that outlives the task, which one server at a time may have.

    database.py FOLDER PORT

What the official image does, with the distribution's packages: an empty folder becomes a database (user `shop`, the
password in POSTGRES_PASSWORD), and SIGTERM is passed on as SIGINT, which ends connections instead of waiting for them.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

USER = "shop"
SETTINGS = {
    "listen_addresses": "*",
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "16MB",
    "log_checkpoints": "off",
}


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs: Debian has them in a folder of each version."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = shutil.which(name) or (str(places[-1]) if places else None)
    if found is None:
        sys.exit(f"there is no {name}: install postgresql")
    return found


def owned(folder: Path) -> int:
    """Wait until no other server has the folder; an open file that says so. Who dies, however, has it no longer."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def prepare(data: Path) -> None:
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)  # one that was not finished
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(os.environ["POSTGRES_PASSWORD"])
            password.flush()
            made = data.with_name("new")
            shutil.rmtree(made, ignore_errors=True)
            command = [program("initdb"), "--pgdata", made, "--username", USER, "--pwfile", password.name]
            subprocess.run(
                [*command, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        with (made / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        made.rename(data)
    # The lock says that its owner is gone; the number in it may be some other process's here.
    (data / "postmaster.pid").unlink(missing_ok=True)


def main(folder: str, port: str) -> int:
    lock = owned(Path(folder))
    data = Path(folder) / "data"
    prepare(data)
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen([program("postgres"), "-D", data, "-p", port, *settings], pass_fds=(lock,))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.send_signal(signal.SIGINT))
    return server.wait()


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(*sys.argv[1:]))
