"""Certificates that end: the metric, and one line a day from some days before on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import FakeContext

from socmon import expiring, metrics
from socmon.component import ForwarderSettings
from socmon.expiring import Expiring

NOW = datetime(2026, 11, 26, tzinfo=UTC)
DAY = timedelta(days=1)
CERT, CA = Path("client.pem"), Path("ca.pem")


def watched(name: str) -> tuple[Expiring, FakeContext[ForwarderSettings]]:
    context = FakeContext(ForwarderSettings(), name=name)
    return Expiring(name, context.log, 30), context


def test_the_first_end_is_shown() -> None:
    one, context = watched("shown")

    one.look({CERT: NOW + 90 * DAY, CA: NOW + 300 * DAY, Path("gone"): None}, NOW)

    assert metrics.CERTIFICATE_EXPIRY["shown"]._value.get() == (NOW + 90 * DAY).timestamp()
    assert context.logged == []


def test_an_end_that_comes_near_is_told_once_a_day_and_then_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    one, context = watched("near")
    clock = [0.0]
    monkeypatch.setattr(expiring, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    end = NOW + 29 * DAY

    for hours in (0, 1, 23, 25, 26):
        clock[0] = hours * 3600.0
        one.look({CERT: end}, NOW + timedelta(hours=hours))
    one.look({CERT: end}, end + DAY)
    one.look({CERT: end + 90 * DAY}, end + DAY)

    assert [(entry["log_level"], entry["event"]) for entry in context.logged] == [
        ("warning", "certificate expires soon"),
        ("warning", "certificate expires soon"),
        ("error", "certificate has expired"),
    ]
    assert context.logged[-1]["file"] == CERT
