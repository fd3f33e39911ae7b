"""What a container uses is the sum over its own processes, by the kernel's counters."""

import os

from tsunagu_node.runtime.linux.usage import networks, stats

CONTAINER, OTHER = "user:[2]", "user:[1]"
TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    4096      32    1    2    0     0          0         0     8192      64    3    4    0     0       0          0
"""


def process(proc, pid, parent, namespace, ticks=0, pages=0, name="app"):
    """A process that has used `ticks` in user mode, one as much in the kernel, and has one dead child with a tick of each."""
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True)
    (folder / "ns" / "user").symlink_to(namespace)
    fields = ["S", str(parent), *["0"] * 9, str(ticks), str(ticks), "1", "1", "20", "0", "2", "0", "7", "0", str(pages)]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)} 0 0\n")


def test_the_processes_of_a_container_are_those_of_its_namespace_and_their_children(tmp_path):
    process(tmp_path, 1, 0, OTHER, 1000, name="tsunagu-init")
    process(tmp_path, 5, 1, CONTAINER, 10, 3, name="a) S (b")
    process(tmp_path, 6, 1, CONTAINER, 20, 4)  # a daemon, whose parent has ended
    process(tmp_path, 7, 6, "user:[3]", 30, 5)  # a sandbox of its own
    process(tmp_path, 8, 1, OTHER, 1000)  # Envoy
    (tmp_path / "5" / "net").mkdir()
    (tmp_path / "5" / "net" / "dev").write_text(TABLE)
    (tmp_path / "stat").write_text("cpu  100 0 100 800 0 0 0 0 50 0\ncpu0 1 1 1\n")
    tick, page = 10**9 // os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = stats(tmp_path, 5, "app")
    assert found["name"] == "app"
    assert found["cpu_stats"]["cpu_usage"] == {
        "total_usage": 126 * tick,
        "usage_in_usermode": 63 * tick,
        "usage_in_kernelmode": 63 * tick,
    }
    assert found["cpu_stats"]["system_cpu_usage"] == 1000 * tick
    assert found["memory_stats"]["usage"] == 12 * page
    assert found["pids_stats"] == {"current": 6}
    assert set(found["networks"]) == {"eth0"}


def test_a_process_that_is_gone_has_no_stats(tmp_path):
    process(tmp_path, 1, 0, OTHER)
    (tmp_path / "stat").write_text("cpu  1 0 1 8 0 0 0 0 0 0\n")
    assert stats(tmp_path, 5, "app") is None


def test_each_interface_but_the_loopback_is_counted():
    received = {"rx_bytes": 4096, "rx_packets": 32, "rx_errors": 1, "rx_dropped": 2}
    sent = {"tx_bytes": 8192, "tx_packets": 64, "tx_errors": 3, "tx_dropped": 4}
    assert networks(TABLE) == {"eth0": {**received, **sent}}
    assert networks("") == {}
