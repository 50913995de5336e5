"""A client of collector `http`, a process of its own: posts numbered records, and again what was not answered.

What it has an answer for stands in its spool, so it may be killed at any time. It needs nothing but Python.
"""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SMALL, LARGE = 20, 1500  # a large one is two batches of the journal
_EACH = 4  # so many-th request is large
_ROUND = LARGE + (_EACH - 1) * SMALL


def numbers_of(request: int) -> range:
    """The records of a request."""
    first = request // _EACH * _ROUND + (LARGE + (request % _EACH - 1) * SMALL if request % _EACH else 0)
    return range(first, first + (SMALL if request % _EACH else LARGE))


def record(client: str, number: int) -> str:
    return json.dumps({"client": client, "number": number})


def lines_of(path: Path) -> list[int]:
    """Whole lines of a spool."""
    text = path.read_text() if path.exists() else ""
    return [int(line) for line in text[: text.rfind("\n") + 1].split()]


def post(port: int, client: str, request: int, *, token: str, keyed: bool) -> int:
    """The status of the answer."""
    body = "".join(f"{record(client, number)}\n" for number in numbers_of(request))
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {token}"}
    headers |= {"Idempotency-Key": f'"{client}-{request}"'} if keyed else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/", body, headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status
    finally:
        connection.close()


def _requests(spool: Path) -> Iterator[int]:
    """The one whose turn it is, until its answer is noted; then the next one."""
    while not spool.with_suffix(".stop").exists():
        yield len(lines_of(spool))


def main(folder: str, port: str, client: str, token: str, keyed: str) -> None:
    spool = Path(folder, f"{client}.answered")
    with spool.open("a") as answered, spool.with_suffix(".tried").open("a") as tried:
        for request in _requests(spool):
            tried.write(f"{request}\n")
            tried.flush()
            try:
                status = post(int(port), client, request, token=token, keyed=keyed == "keyed")
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
                continue
            if status == 200:
                answered.write(f"{request}\n")
                answered.flush()
            elif status not in (409, 429):
                sys.exit(f"request {request} was answered with {status}")
            else:
                time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
