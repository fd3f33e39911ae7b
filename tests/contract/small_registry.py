"""A registry of one image, for pulls: the parts of its API that an engine asks for, with a name and a password.

https://distribution.github.io/distribution/spec/api/ (GET of manifests and blobs).
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, PASSWORD = "ann", "secret"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def contents(architecture: str) -> tuple[bytes, dict[str, bytes]]:
    """(manifest, digest -> blob) of an image with one file, /pulled."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("pulled")
        tar.addfile(entry)
    layer = gzip.compress(archive.getvalue())
    fields = {"os": "linux", "architecture": architecture, "config": {}, "rootfs": {"type": "layers"}}
    fields["rootfs"]["diff_ids"] = [digest(archive.getvalue())]
    config = json.dumps(fields).encode()

    def described(raw: bytes, kind: str) -> dict:
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(raw), "digest": digest(raw)}

    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST}
    manifest["config"] = described(config, "container.image.v1+json")
    manifest["layers"] = [described(layer, "image.rootfs.diff.tar.gzip")]
    return json.dumps(manifest).encode(), {digest(config): config, digest(layer): layer}


@contextmanager
def registry(architecture: str = "amd64") -> Iterator[tuple[str, list[str]]]:
    """The host of a registry that has the image `shop/pulled:1`, and the paths that were asked for."""
    manifest, blobs = contents(architecture)
    asked: list[str] = []
    wanted = f"Basic {base64.b64encode(f'{NAME}:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.headers.get("Authorization") != wanted:
                self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
            elif self.path == "/v2/":
                self.answer(200, b"{}")
            elif "/manifests/" in self.path:
                self.answer(200, manifest, {"Content-Type": _MANIFEST, "Docker-Content-Digest": digest(manifest)})
            elif (blob := blobs.get(self.path.rpartition("/")[2])) is not None:
                self.answer(200, blob)
            else:
                self.answer(404, b"{}")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="registry")
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
