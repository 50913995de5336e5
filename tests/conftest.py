"""For every test: fixed examples, nothing of the session outside; with SOCMON_NO_SKIPS no skip that can be helped."""

import os
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import fault_kit
import pytest
from command_kit import CHOOSING
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from kafka_kit import Broker

# What no installation changes: these may be skipped even where skips are forbidden.
EXCUSED = ("root may ", "only root can", "SOCMON_DATA")

# A session of people has a language, a zone and colours, a service has credentials, sockets and a manager that listens.
for name in (*CHOOSING, "PYTHONIOENCODING", "CREDENTIALS_DIRECTORY", "SOCMON_FAILPOINT"):
    os.environ.pop(name, None)
for name in [each for each in os.environ if each.startswith(("LC_", "LISTEN_", "NOTIFY_", "WATCHDOG_"))]:
    del os.environ[name]
os.environ["LANG"] = "C.UTF-8"
time.tzset()
# A proxy that others are reached by knows nothing of our loopback.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(["127.0.0.1", "127.0.0.2", "::1", "localhost", *filter(None, [os.environ.get(name)])])
# Hundreds of processes are started: each would compile all of socmon anew, a fifth of what the start of a daemon costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Nor need each read the system's authorities, which aiohttp does when it is imported: the tests have their own.
os.environ["SSL_CERT_FILE"] = os.devnull
# What commands without a state directory of their own keep of rules is not the person's who runs the tests.
_caches = tempfile.TemporaryDirectory(prefix="socmon-caches-")
os.environ["XDG_CACHE_HOME"] = _caches.name
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).with_name("installed")), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# The same examples in every run; SOCMON_EXPLORE=1 looks for new ones. How fast they are made is the machine's affair.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _patient, derandomize=True)
settings.register_profile("explore", _patient)
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of faults did, where `make faults` asks for it."""
    if os.environ.get("SOCMON_FAULTS"):
        for line in fault_kit.rows(terminalreporter.stats):
            terminalreporter.write_line(line)
