"""The hosts file: what is in it, where it stands, and that no reader misses what stays."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu_node.runtime.hosts_file import SLOT, HostsFile, place, render

OWN = ("127.0.0.1 localhost", "10.88.0.2 web-1")


def entries(path: Path) -> dict[str, str]:
    """As a resolver reads it."""
    lines = [line.partition("#")[0].split() for line in path.read_text().splitlines() if line[0] != "#"]
    return {name: ip for ip, *names in lines for name in names}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


def test_it_holds_the_task_s_own_lines_and_the_names(path):
    hosts = HostsFile(path, OWN)
    hosts.set({"mysql": "127.255.0.1", "orders": "127.255.0.2"})
    assert entries(path) == {
        "localhost": "127.0.0.1",
        "web-1": "10.88.0.2",
        "mysql": "127.255.0.1",
        "orders": "127.255.0.2",
    }
    hosts.set({"orders": "127.255.0.2"})
    assert set(entries(path)) == {"localhost", "web-1", "orders"}
    hosts.close()


def test_it_is_read_as_resolvers_do_whoever_has_written_it(path):
    hosts = HostsFile(path, OWN)
    hosts.set({"orders": "127.255.0.2"})
    path.write_text("10.9.9.9 orders mysql # by hand\n\n#127.0.0.9 web\n" + path.read_text())
    assert hosts.shown() == {
        "orders": "10.9.9.9",
        "mysql": "10.9.9.9",
        "localhost": "127.0.0.1",
        "web-1": "10.88.0.2",
    }
    hosts.close()
    assert hosts.shown() == {}


def test_a_name_keeps_its_place_and_the_file_its_size(path):
    """A slot that was given up is a comment, for whoever looks into the file, until another name takes it."""
    hosts = HostsFile(path, OWN)
    hosts.set({"a": "127.255.0.1", "b": "127.255.0.2", "c": "127.255.0.3"})
    before = path.read_bytes()
    hosts.set({"b": "127.255.0.2", "d": "127.255.0.4"})
    after = path.read_bytes()
    assert before.index(b" b ") == after.index(b" b ")
    assert len(before) == len(after) == 5 * SLOT
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["localhost", "web-1", "d", "b", "#"]
    hosts.close()


def test_a_new_agent_takes_over_what_is_there(path):
    first = HostsFile(path, OWN)
    first.set({"a": "127.255.0.1", "b" * 150: "127.255.0.2"})
    first.close()
    before = path.read_bytes()
    second = HostsFile(path, OWN)
    assert path.read_bytes() == before
    second.set({"a": "127.255.0.1", "b" * 150: "127.255.0.2", "c": "127.255.0.3"})
    assert before.index(b" a ") == path.read_bytes().index(b" a ")
    assert entries(path)["c"] == "127.255.0.3"
    second.close()


def test_it_has_no_more_lines_than_it_needs(path):
    hosts = HostsFile(path, OWN)
    names = {f"service-{number}": f"127.255.0.{number}" for number in range(100)}
    hosts.set(names)
    assert path.stat().st_size == (len(OWN) + 100) * SLOT
    assert names.items() <= entries(path).items()
    hosts.close()


def test_a_closed_file_is_left_alone(path):
    hosts = HostsFile(path, OWN)
    hosts.close()
    hosts.set({"late": "127.255.0.1"})
    hosts.close()
    assert "late" not in entries(path)


names = st.dictionaries(st.text("abc", min_size=1, max_size=250), st.just("127.255.0.1"), max_size=40)


@given(st.lists(names, max_size=5))
def test_every_line_is_whole_and_in_slots(steps):
    lines: list[str] = []
    for step in steps:
        wanted = [f"{ip} {name}" for name, ip in step.items()]
        lines = place(lines, wanted)
        raw = render(lines)
        assert len(raw) % SLOT == 0
        assert all(len(line) % SLOT == 0 for line in raw.splitlines(keepends=True))
        assert sorted(line.strip() for line in raw.decode().splitlines() if line[0] != "#") == sorted(wanted)


def test_readers_never_miss_a_name_that_stays(path):
    """Three pages, so that a reader needs several reads and sees several versions."""
    hosts = HostsFile(path, OWN)
    stable = {f"stable-{number}": "127.255.0.1" for number in range(150)}
    hosts.set(stable)
    done = threading.Event()
    missed: list[set[str]] = []

    def read() -> None:
        while not done.is_set():
            with path.open("rb", buffering=4096) as file:
                found = {word for line in file for word in line.decode().split()[1:]}
            if not stable.keys() <= found:
                missed.append(stable.keys() - found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        hosts.set({**stable, **{f"passing-{turn}-{number}": "127.255.1.1" for number in range(turn % 30)}})
    done.set()
    for reader in readers:
        reader.join()
    hosts.close()
    assert missed == []
