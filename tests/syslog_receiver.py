"""A receiver of syslog over TLS in a process of its own: what it reads of a connection, it appends to a file at once.

    python syslog_receiver.py PORT CERTIFICATE RECEIVED

It says the port it listens on. The certificate's file holds its key too. It ends its side of TLS only when all is in
the file; asyncio's TLS does so by itself, before the program has what came, and a kill in between loses that.
"""

import os
import socket
import socketserver
import ssl
import sys
from contextlib import suppress


class Server(socketserver.ThreadingTCPServer):
    """Hands each connection to a thread."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, certificate: str, received: str) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.file = os.open(received, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)

    def finish_request(self, request: object, client_address: object) -> None:  # noqa: ARG002  the base's signature
        """Read until the sender's end."""
        assert isinstance(request, socket.socket)
        number = request.getpeername()[1]
        with suppress(OSError), self.context.wrap_socket(request, server_side=True) as connection:  # a sender may die
            while data := connection.recv(65_536):
                # One write for each read: a kill tears no line. Connections may be told apart.
                os.write(self.file, b"%d %d %s\n" % (number, len(data), data.hex().encode()))
            connection.unwrap()


if __name__ == "__main__":
    with Server(int(sys.argv[1]), sys.argv[2], sys.argv[3]) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
