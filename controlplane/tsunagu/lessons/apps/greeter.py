"""The gRPC service of lesson 9 and its caller, with grpcio and nothing else.

python greeter.py serve PORT      answers every call with its host name
python greeter.py call TARGET     calls again and again; a line for each copy that it hears of, and for each failure
"""

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

PAUSE = 0.005  # s between calls


class Greeter(grpc.GenericRpcHandler):
    """Answers every method."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """The one method that there is."""
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: socket.gethostname().encode())


def serve(port: str) -> None:
    """Serve until SIGTERM."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Greeter()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(1))
    server.wait_for_termination()


def call(target: str) -> None:
    """Call until SIGTERM."""
    greet = grpc.insecure_channel(target).unary_unary("/lesson.Greeter/Greet")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    known: set[str] = set()
    while True:
        try:
            answer = greet(b"", timeout=10, wait_for_ready=not known).decode()
        except grpc.RpcError as error:
            print("FAILED", error.code().name, error.details(), flush=True)
        else:
            if answer not in known:
                known.add(answer)
                print("first answer of", answer, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](sys.argv[2])
