"""What a process may take of the machine, in a process of its own."""

import subprocess
import sys

RAISED = """
import resource, sys
from tsunagu.kit.process_limits import raise_descriptors
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
allowed = raise_descriptors()
soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
print(allowed == soft, soft > 256 or soft == hard)
"""
RETURNED = """
import gc
from tsunagu.kit.process_limits import return_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
held = [bytes(1000) for _ in range(200_000)]  # larger than Python's own pools take: malloc has them
last = held[-1]  # lies above all others, so that nothing is given back by itself
full = resident()
del held
return_memory()
print(full - resident() > 100_000_000, len(last))
"""
KEPT_RETURNING = """
import asyncio
from tsunagu.kit.process_limits import keep_returning_memory, resident_bytes
async def main():
    keeping = asyncio.create_task(keep_returning_memory(every=0.01, step=16 << 20))
    await asyncio.sleep(0)
    before = resident_bytes()
    held = [bytes(1000) for _ in range(200_000)]
    last = held[-1]
    del held
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if resident_bytes() < before + (50 << 20):
            break
    print(resident_bytes() < before + (50 << 20), not keeping.done())
    keeping.cancel()
asyncio.run(main())
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_the_soft_limit_of_open_files_becomes_the_hard_one():
    assert run(RAISED) == ["True", "True"]


def test_freed_memory_goes_back_to_the_system():
    assert run(RETURNED) == ["True", "1000"]


def test_a_process_that_has_grown_gives_back_what_it_has_freed():
    assert run(KEPT_RETURNING) == ["True", "True"]
