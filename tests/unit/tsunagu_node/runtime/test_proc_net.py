"""What listens in a task, read from the kernel's tables."""

from tsunagu_node.runtime import proc_net
from tsunagu_node.runtime.contract import Listening

TABLES = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   1: 00000000:3B00 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   2: 0200580A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   3: 0B00007F:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   4: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 1 1
   0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:0 00:0 0 0 0 1 1
   2: 0000000000000000FFFF00000100007F:232A 00000000000000000000000000000000:0000 0A 00000000:0 00:0 0 0 0 1 1
   1: 00000000000000000000000001000000:2329 00000000000000000000000000000000:0000 0A 00000000:0 00:0 0 0 0 1 1
"""


def test_what_listens_is_told_with_its_address():
    assert proc_net.listening(TABLES, ["0B00007F"]) == {
        Listening(8080, "127.0.0.1"),
        Listening(15104, "0.0.0.0"),
        Listening(80, "10.88.0.2"),
        Listening(9000, "::"),
        Listening(9001, "::1"),
        Listening(9002, "127.0.0.1"),
    }


def test_without_tables_nothing_listens():
    assert proc_net.listening("") == frozenset()
