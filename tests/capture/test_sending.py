"""What a sensor says of a daemon that does not take its events."""

from typing import Any

import pytest
from harness import until
from packets_kit import event, hearing, logged, packets_context, sensor, socket_path
from structlog.testing import capture_logs

from socmon.capture import sending

AWAY = "the daemon takes no events, they wait for it"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FIRST_S", 0.001)
    monkeypatch.setattr(sending, "LIMIT_S", 0.004)


def _said(told: list[Any], message: str) -> list[Any]:
    return [entry for entry in told if entry["event"] == message]


async def test_a_daemon_that_is_away_is_told_of_once_and_so_is_its_return() -> None:
    with socket_path() as path, capture_logs() as told:
        async with sensor(path) as one:
            await until(lambda: bool(_said(told, AWAY)))
            one.put(event(1))
            async with hearing(packets_context(path)):
                await until(lambda: one.sending.waiting == 0)
                said = [*told]  # before the daemon goes away again

    (away,) = _said(said, AWAY)
    assert "No such file" in away["error"]
    assert len(_said(said, "the daemon takes events again")) == 1


async def test_a_sensor_that_is_refused_says_where_to_look() -> None:
    with socket_path() as path, capture_logs() as told:
        context = packets_context(path)
        async with hearing(context), sensor(path) as first:
            await until(lambda: first.sending.connected)
            async with sensor(path, run="fedcba9876543210"):  # of the same name
                await until(lambda: bool(_said(told, AWAY)))

    assert "its log says whether it refuses us" in _said(told, AWAY)[0]["error"]
    assert logged(context, "connection refused")[0]["reason"] == "sensor_in_use"
