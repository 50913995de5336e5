"""A receiver of the feed that is not socmon: what it reads behind TLS, it unzips and appends to a file, a body a line.

    python plain_receiver.py CERTIFICATE KEY AUTHORITY RECEIVED

It says the port that it listens on. It answers that all is stored, as the protocol wants it, for a sender goes on only
then. Of our code it uses nothing: what it has in its file is what anybody at the other end has.
"""

import gzip
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    received = Path()

    def do_POST(self) -> None:
        """Record the body as it is when it is decrypted and unzipped, and the headers."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.received.open("ab") as file:
            file.write(body.replace(b"\n", b" ") + b"\n")
            file.write(json.dumps({"headers": dict(self.headers)}).encode() + b"\n")
        self.answer(self.answer_to(json.loads(body)))

    def answer_to(self, events: Any) -> dict[str, Any]:
        """Of a batch, that all is stored; of a heartbeat, the time."""
        if isinstance(events, dict):
            return {"server_time": "2026-11-28T00:00:00Z"}
        last = events[-1]
        return {
            "batch_id": self.headers["Batch-Id"],
            "committed": {"epoch": last["socepoch"], "seq": int(last["socseq"])},
            "results": [
                {"id": event["id"], "seq": int(event["socseq"]), "status": "stored", "code": ""} for event in events
            ],
            "window": {"max_events": 500, "max_bytes": 8_000_000, "retry_after_ms": 0},
            "server_time": "2026-11-28T00:00:00Z",
        }

    def answer(self, told: dict[str, Any]) -> None:
        """Send it as JSON."""
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Say nothing."""


if __name__ == "__main__":
    certificate, key, authority, received = sys.argv[1:]
    Handler.received = Path(received)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_address[1], flush=True)
        server.serve_forever()
