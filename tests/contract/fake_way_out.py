"""A WayOut that only remembers what it was told."""

import asyncio

from tsunagu_node.runtime.outside import RelayCounts


class FakeWayOut:
    """`admitted`: (task, address) -> seconds."""

    no_host = ""

    def __init__(self):
        self.reached = frozenset()
        self.enforced = {}
        self.admitted = {}
        self.counted = {}

    async def run(self):
        await asyncio.Event().wait()

    async def places(self, places):
        self.reached = places

    async def policies(self, policies):
        self.enforced = dict(policies)

    async def admit(self, task, addresses, seconds):
        self.admitted.update({(task, one): seconds for one in addresses})

    async def dismiss(self, task, addresses):
        for one in addresses:
            self.admitted.pop((task, one), None)

    async def counts(self, *, places=False):
        return RelayCounts(1.0, self.counted)
