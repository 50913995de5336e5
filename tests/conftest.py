"""For every test: fixed examples, no failpoint from outside; with SOCMON_NO_SKIPS no skip for what can be installed."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from kafka_kit import Broker

# What no installation changes: these may be skipped even where skips are forbidden.
EXCUSED = ("root may ", "only root can", "SOCMON_DATA")

os.environ.pop("SOCMON_FAILPOINT", None)
# Hundreds of processes are started: each would compile all of socmon anew, a fifth of what the start of a daemon costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Nor need each read the system's authorities, which aiohttp does when it is imported: the tests have their own.
os.environ["SSL_CERT_FILE"] = os.devnull
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).with_name("installed")), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# The same examples in every run; SOCMON_EXPLORE=1 looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if os.environ.get("SOCMON_EXPLORE") else "fixed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("SOCMON_NO_SKIPS") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(excuse in reason for excuse in EXCUSED):
            report.outcome = "failed"
            report.longrepr = f"skipped where skips are forbidden: {reason}"
    return report


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Broker]":
    """A real Apache Kafka, one for all tests of a process; each has topics and groups of its own.

    Some halt it, none starts it anew: it has no reason to take itself for gone.
    """
    import kafka_kit  # noqa: PLC0415  most processes need none of it

    if not kafka_kit.is_here():
        pytest.skip(kafka_kit.MISSING)
    with kafka_kit.broker_in(tmp_path_factory.mktemp("kafka") / "broker", scram=True, session_ms=60_000) as broker:
        yield broker
