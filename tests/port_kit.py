"""A port that stays one's own while nothing listens there; other tests, and connections, get theirs from its range."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager


def keep() -> socket.socket:
    """A bound socket. A server that reuses addresses may listen on its port, again and again; nobody else gets it."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


@contextmanager
def kept_port() -> Iterator[int]:
    """A port where nothing listens."""
    with closing(keep()) as kept:
        yield kept.getsockname()[1]
