"""The HTTP listener of the daemon: /metrics for Prometheus, /healthz and /readyz for systemd's and others' probes."""

import asyncio
import errno
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from socmon import metrics
from socmon.errors import ComponentError, ConfigError

Probe = Callable[[], tuple[bool, list[str]]]

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "socmon",
}
_IDLE_S = 15.0
_SHUTDOWN_S = 2.0


class Console:
    """Serves until closed. Has no sign-in, so it listens on 127.0.0.1 unless told otherwise.

    Args:
        port: 0 takes any free one.
        ready: (whether events are taken in, matched and stored; the reasons if not). Called on the event loop.
        healthy: (whether the daemon is alive; the reasons if not). Called on the event loop.
    """

    def __init__(self, *, address: str, port: int, ready: Probe, healthy: Probe) -> None:
        self._address = address
        self._port = port
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._rendering = asyncio.Lock()
        self._app = web.Application()
        self._app.on_response_prepare.append(_add_headers)
        self._app.router.add_get("/metrics", self._metrics)
        self._app.router.add_get("/healthz", _answering(healthy))
        self._app.router.add_get("/readyz", _answering(ready))

    async def start(self) -> tuple[str, int]:
        """Listen, and return the address and port in use.

        Raises:
            ComponentError: the port is taken.
            ConfigError: this machine cannot listen there at all.
        """
        self._runner = web.AppRunner(
            self._app, access_log=None, keepalive_timeout=_IDLE_S, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address, self._port).start()
        except OSError as error:
            await self.close()
            raise _refused(self._address, self._port, error) from error
        address, port = self._runner.addresses[0][:2]
        return str(address), int(port)

    async def close(self) -> None:
        """Stop listening and end open connections; harmless when not started, or closed already."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        # One at a time: impatient scrapers must not fill the pool of threads that disk writes need.
        async with self._rendering:
            metrics.READY.set(self._ready()[0])
            body = await asyncio.to_thread(metrics.rendered)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _answering(probe: Probe) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        well, reasons = probe()
        return web.json_response({"ok": well, "reasons": reasons}, status=200 if well else 503)

    return answer


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _refused(address: str, port: int, error: OSError) -> ComponentError | ConfigError:
    where = f"http: cannot listen on {address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return ComponentError(f"{where}: another program does; stop it, or choose another http.port")
    reason = (error.strerror or str(error)).lower()
    return ConfigError([f"{where}: {reason}; choose another http.address or http.port"])
