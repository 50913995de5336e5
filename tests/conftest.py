"""For every test: no failpoint from outside, and, where SOCMON_NO_SKIPS is set, no skip for what could be installed."""

import os
from collections.abc import Generator

import pytest

# What no installation changes: these may be skipped even where skips are forbidden.
EXCUSED = ("root may read", "only root can", "SOCMON_DATA")

os.environ.pop("SOCMON_FAILPOINT", None)


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
