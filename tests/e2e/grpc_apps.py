"""The two apps of tests/e2e/test_grpc_mesh.py, with grpcio and nothing else.

python grpc_apps.py serve PORT      answers every call with its host name
python grpc_apps.py call TARGET     calls without a pause; a line for each new answer, and for each failure
"""

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

PAUSE = 0.002  # s between calls


class Echo(grpc.GenericRpcHandler):
    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: socket.gethostname().encode())


def serve(port: str) -> None:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Echo()])
    server.add_insecure_port(f"127.0.0.1:{port}")  # its Envoy comes to it from inside the task
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(1))
    server.wait_for_termination()


def call(target: str) -> None:
    say = grpc.insecure_channel(target).unary_unary("/test.Echo/Say")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    known: set[str] = set()
    while True:
        try:
            answer = say(b"", timeout=60, wait_for_ready=not known).decode()
        except grpc.RpcError as error:
            print("FAILED", error.code().name, error.details(), flush=True)
        else:
            if answer not in known:
                known.add(answer)
                print("ANSWER", answer, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](sys.argv[2])
