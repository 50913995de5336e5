"""What a request is refused with: problem details (RFC 9457) that say where the fault is, and what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

PROBLEM = "application/problem+json"


class RequestRefusedError(Exception):
    """Nothing of the request is taken, or no more of it than an answer before has said.

    Attributes:
        status: of HTTP.
        reason: one word of a fixed list, as counted (docs/operations.md, "Senders over HTTP").
        where: `line` or `element`, from 1, and whatever else the sender's program may want to read.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        where: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.where = dict(where or {})
        self.headers = dict(headers or {})
        super().__init__(detail)

    def response(self) -> web.Response:
        """The answer."""
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "reason": self.reason,
            "detail": str(self),
            **self.where,
        }
        body = msgspec.json.encode(problem)
        return web.Response(status=self.status, body=body, content_type=PROBLEM, headers=self.headers)


def busy(detail: str, retry_after_s: int = 1) -> RequestRefusedError:
    """There is no room now (RFC 6585, section 4); the same request may be taken later."""
    return RequestRefusedError(429, "busy", detail, headers={"Retry-After": str(retry_after_s)})
