"""A receiver of syslog over TLS in a process of its own: what it reads of a connection, it appends to a file at once.

    python syslog_receiver.py PORT CERTIFICATE RECEIVED

It says the port it listens on. The certificate's file holds its key too.
"""

import asyncio
import os
import ssl
import sys


async def main(port: int, certificate: str, received: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    file = os.open(received, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = writer.get_extra_info("peername")[1]

        def write(data: bytes) -> None:
            # One write for each read: a kill tears no line. Connections may be told apart.
            os.write(file, b"%d %d %s\n" % (number, len(data), data.hex().encode()))

        try:
            while data := await reader.read(65_536):
                write(data)
        except OSError:  # a reader that has an error gives out no more, not even what came before it
            if rest := bytes(reader._buffer):  # type: ignore[attr-defined]
                write(rest)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", port, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
