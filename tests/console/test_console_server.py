"""The daemon's HTTP listener, over real sockets."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import aiohttp
import pytest
from harness import until
from prometheus_client import CollectorRegistry, Counter, generate_latest

from socmon import metrics
from socmon.console.server import Console
from socmon.errors import ComponentError, ConfigError
from socmon.instruments import Kept

OURS = "127.0.87.1"  # loopback, where nobody else takes a port that has just become free


class Daemon:
    """What the probes look at."""

    def __init__(self) -> None:
        self.ready: tuple[bool, list[str]] = (True, [])
        self.healthy: tuple[bool, list[str]] = (True, [])


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
async def url(daemon: Daemon) -> AsyncIterator[str]:
    console = Console(address="127.0.0.1", port=0, ready=lambda: daemon.ready, healthy=lambda: daemon.healthy)
    address, port = await console.start()
    yield f"http://{address}:{port}"
    await console.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def console_on(address: str, port: int) -> Console:
    return Console(address=address, port=port, ready=lambda: (True, []), healthy=lambda: (True, []))


async def test_metrics_are_served_in_the_text_format(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/metrics") as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nsocmon_build_info{" in text


async def test_metrics_say_whether_the_daemon_is_ready(url: str, http: aiohttp.ClientSession, daemon: Daemon) -> None:
    pages = []
    for well in (True, False):
        daemon.ready = (well, [])
        async with http.get(f"{url}/metrics") as response:
            pages.append(await response.text())

    assert ["\nsocmon_daemon_ready 1.0\n" in page for page in pages] == [True, False]
    assert "\nsocmon_daemon_ready 0.0\n" in pages[1]


async def test_a_page_of_thousands_of_series_holds_up_nothing(
    url: str, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    registry = CollectorRegistry()
    many = Kept(Counter("many", "x", ["number"], registry=registry))
    for number in range(5_000):
        many[str(number)].inc()

    def slow() -> bytes:
        begun.set()
        assert go_on.wait(10)
        return generate_latest(registry)

    monkeypatch.setattr(metrics, "rendered", slow)
    page = asyncio.create_task(fetched(http, f"{url}/metrics"))
    await until(begun.is_set)

    async with http.get(f"{url}/healthz") as response:
        assert response.status == 200
    assert not page.done()

    go_on.set()
    assert (await page).count("\nmany_total{") == 5_000


async def fetched(http: aiohttp.ClientSession, address: str) -> str:
    async with http.get(address) as response:
        return await response.text()


async def test_probes_answer_with_state_and_reasons(url: str, http: aiohttp.ClientSession, daemon: Daemon) -> None:
    daemon.ready = (False, ["the store cannot be written: disk full"])

    async with http.get(f"{url}/readyz") as ready, http.get(f"{url}/healthz") as healthy:
        answers = [(ready.status, await ready.json()), (healthy.status, await healthy.json())]

    assert answers == [
        (503, {"ok": False, "reasons": ["the store cannot be written: disk full"]}),
        (200, {"ok": True, "reasons": []}),
    ]


async def test_probe_sees_the_state_of_the_moment(url: str, http: aiohttp.ClientSession, daemon: Daemon) -> None:
    statuses = []
    for well in (True, False, True):
        daemon.healthy = (well, [])
        async with http.get(f"{url}/healthz") as response:
            statuses.append(response.status)

    assert statuses == [200, 503, 200]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/../etc/passwd", "/admin"])
async def test_unknown_path_is_404(url: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(url + path) as response:
        assert response.status == 404


async def test_nothing_can_be_written(url: str, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{url}/metrics", data=b"x") as response:
        assert response.status == 405


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/nowhere"])
async def test_every_answer_has_the_security_headers(url: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(url + path) as response:
        headers = response.headers

    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "socmon"


async def test_taken_port_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            ComponentError, match=f"cannot listen on 127.0.0.1 port {port}: another program does"
        ) as caught:
            await console_on("127.0.0.1", port).start()

    assert caught.value.retry


async def test_address_of_another_machine_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 0: .*choose another http\.address"):
        await console_on("192.0.2.1", 0).start()


async def test_closed_console_lets_go_of_its_port() -> None:
    console = console_on(OURS, 0)
    address, port = await console.start()

    await console.close()
    await console.close()

    again = console_on(address, port)
    assert await again.start() == (address, port)
    await again.close()


async def test_half_a_request_does_not_hold_up_the_close() -> None:
    console = console_on(OURS, 0)
    where = await console.start()

    with socket.create_connection(where, timeout=10) as idle:
        idle.sendall(b"GET /met")
        async with asyncio.timeout(10):
            await console.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where, timeout=10)
