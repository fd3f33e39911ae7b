"""A gRPC client for tests: calls TARGET again and again by grpcio's own xDS client, and tells each answer as JSON.

    python grpc_client.py TARGET...     a line on standard input: one call of each; its end: the end

Stands alone, so that a task of a mesh can run it as well.
"""

import json
import sys

import grpc


def main() -> None:
    methods = {target: grpc.insecure_channel(target).unary_unary("/test.Echo/Say") for target in sys.argv[1:]}
    for line in sys.stdin:
        timeout = float(line.strip() or 5)
        print(json.dumps({target: call(method, timeout) for target, method in methods.items()}), flush=True)


def call(method: grpc.UnaryUnaryMultiCallable, timeout: float) -> dict[str, str]:
    try:
        return {"code": "OK", "text": method(b"", timeout=timeout).decode()}
    except grpc.RpcError as error:
        return {"code": error.code().name, "text": error.details() or ""}


if __name__ == "__main__":
    main()
