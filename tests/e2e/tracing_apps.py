"""The apps of tests/e2e/test_tracing.py.

python tracing_apps.py relay PORT [URL]     HTTP: tells which traceparent came, and, of URL, what that answers; passes the header on
python tracing_apps.py collect PORT         takes spans by OTLP over gRPC, and prints each as a line of JSON
"""

import json
import signal
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def relay(port, url=""):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            trace = self.headers.get("traceparent")
            said = {"traceparent": trace}
            if url:
                request = urllib.request.Request(url, headers={"traceparent": trace} if trace else {})
                said["next"] = json.load(urllib.request.urlopen(request, timeout=10))
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


def collect(port):
    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp

    def export(request, _context):
        for of_service in request.resource_spans:
            resource = {one.key: one.value.string_value for one in of_service.resource.attributes}
            for span in (span for scope in of_service.scope_spans for span in scope.spans):
                print(json.dumps(as_json(resource, span)), flush=True)
        return otlp.ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=otlp.ExportTraceServiceRequest.FromString,
        response_serializer=otlp.ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(
        ThreadPoolExecutor(4), handlers=[grpc.method_handlers_generic_handler(service, {"Export": handler})]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def as_json(resource, span):
    return {
        "service": resource["service.name"],
        "namespace": resource["service.namespace"],
        "instance": resource["service.instance.id"],
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "kind": {2: "server", 3: "client"}[span.kind],
        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        **{one.key: one.value.string_value for one in span.attributes},
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.current_thread().name = sys.argv[1]
    {"relay": relay, "collect": collect}[sys.argv[1]](*sys.argv[2:])
