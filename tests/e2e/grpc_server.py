"""A gRPC server for tests that gets its listener by xDS (gRFC A36): python grpc_server.py HOST:PORT

Says "serving" when it listens for xDS to tell it more; ends with its standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"served")


server = grpc.server(ThreadPoolExecutor(2), handlers=[Echo()], xds=True)
server.add_secure_port(sys.argv[1], grpc.xds_server_credentials(grpc.insecure_server_credentials()))
server.start()
print("serving", flush=True)
sys.stdin.read()
server.stop(0)
