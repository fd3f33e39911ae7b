"""A program outside of the mesh that calls the greeter over one long-lived channel, and tells which copies answered.

    caller.py HOST:PORT [SECONDS]

20 unary calls a second, and always two streams of a second each; nothing is tried again. SIGTERM ends it before its time.
"""

import asyncio
import signal
import sys
from collections import Counter

import grpc
from google.protobuf.wrappers_pb2 import StringValue

PAUSE = 0.05  # s between unary calls
STREAMS = 2
NUMBERS = 10  # that a whole stream has
TIMEOUT = 20  # s


def method(make, name):
    return make(
        f"/examples.Greeter/{name}",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


class Caller:
    def __init__(self, channel):
        self.answers = Counter()
        self.failures = []
        self.streams = 0
        self.stop = asyncio.Event()
        self._say = method(channel.unary_unary, "Say")
        self._count = method(channel.unary_stream, "Count")

    async def unary(self):
        while not self.stop.is_set():
            try:
                answer = await self._say(StringValue(value="you"), timeout=TIMEOUT)
                self.answers[answer.value.partition("this is ")[2]] += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"unary: {error.code().name} {error.details()}")
            await asyncio.sleep(PAUSE)

    async def streaming(self):
        while not self.stop.is_set():
            seen = 0
            try:
                async for _ in self._count(StringValue(value="you"), timeout=TIMEOUT):
                    seen += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"stream, after {seen} of {NUMBERS}: {error.code().name} {error.details()}")
                await asyncio.sleep(PAUSE)
            else:
                self.streams += 1

    def told(self):
        lines = [f"{count:5} calls answered by {who}" for who, count in sorted(self.answers.items())]
        return "\n".join(
            [*lines, f"{self.streams:5} whole streams", f"{len(self.failures):5} failed", *self.failures[:5]]
        )


async def main(address, seconds="10"):
    async with grpc.aio.insecure_channel(address) as channel:
        caller = Caller(channel)
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.unary())
            for _ in range(STREAMS):
                group.create_task(caller.streaming())
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, caller.stop.set)
            loop.call_later(float(seconds), caller.stop.set)
    print(caller.told())
    return 1 if caller.failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
