"""The server: `Say` answers a name at once, `Count` sends ten numbers, one every 100 ms, `Talk` answers each message as it comes.

Nothing but grpcio. Its messages are google.protobuf.StringValue, so that no code has to be generated.
"""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.wrappers_pb2 import StringValue

PORT = 50051
SERVICE = "examples.Greeter"
NUMBERS, PAUSE = 10, 0.1  # of `Count`: how many, and seconds between them
ENDING = 20  # s that open calls get after SIGTERM; task definitions should give more (stopTimeout)
ME = f"{socket.gethostname()} (version {os.environ.get('VERSION', '1')})"


def say(request, _context):
    return StringValue(value=f"hello {request.value}, this is {ME}")


def count(request, _context):
    for number in range(NUMBERS):
        yield StringValue(value=f"{number} of {request.value} from {ME}")
        time.sleep(PAUSE)


def talk(requests, _context):
    for request in requests:
        yield StringValue(value=f"{request.value}, says {ME}")


def handlers():
    kinds = {
        "Say": (grpc.unary_unary_rpc_method_handler, say),
        "Count": (grpc.unary_stream_rpc_method_handler, count),
        "Talk": (grpc.stream_stream_rpc_method_handler, talk),
    }
    coded = {
        name: make(
            function,
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )
        for name, (make, function) in kinds.items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, coded)


def main():
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = grpc.server(ThreadPoolExecutor(64), handlers=[handlers()])
    server.add_insecure_port(f"0.0.0.0:{PORT}")
    server.start()
    print(f"{ME} listens on {PORT}", flush=True)
    stop.wait()
    server.stop(ENDING).wait()  # no new calls; the open ones may end
    print("bye", flush=True)


if __name__ == "__main__":
    main()
