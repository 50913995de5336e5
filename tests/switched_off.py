"""A pytest plugin, `-p switched_off`: runs tests with controls of the threat model switched off, tells how they ended.

`SOCMON_LINES` names lines of `threat_lines`; each test of theirs runs once as it is, then once a line without that
line's control. How each ended is written to the file `SOCMON_ENDS`, as JSON.
"""

import json
import os
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from threat_lines import LINES
from threat_switches import Instead, Line, Off, name_of

AS_IT_IS = ""
"""Stands for no line where the ends are told: every control is on."""

PASSED = "passed"

_lines = [line for line in LINES if line.id in os.environ.get("SOCMON_LINES", "").split(",")]
_ends: dict[str, dict[str, list[str]]] = {}


def switch(line: Line, patch: pytest.MonkeyPatch) -> None:
    """Take the line's control away until `patch` is undone.

    Raises:
        AttributeError, ModuleNotFoundError: what it names is not there any more.
    """
    for off in line.off:
        owner, name, found = _found(off)
        if isinstance(off, Instead):
            # Its code, not its name: whoever has imported the function gets the other one too.
            patch.setattr(_function(found), "__code__", _function(off.code).__code__)
        else:
            made = off.make(found)
            patch.setattr(owner, name, staticmethod(made) if _is_static(owner, name) else made)


def _found(off: Off) -> tuple[Any, str, Any]:
    """Owner, name and value of what `off` names."""
    module, _, path = off.where.partition(":")
    *parts, name = path.split(".")
    owner: Any = import_module(module)
    for part in parts:
        owner = getattr(owner, part)
    return owner, name, getattr(owner, name)


def _function(found: Any) -> FunctionType:
    function = getattr(found, "__func__", found)
    assert isinstance(function, FunctionType), f"{found!r} is no function of ours"
    return function


def _is_static(owner: Any, name: str) -> bool:
    return isinstance(owner, type) and isinstance(vars(owner).get(name), staticmethod)


def _switched(line: Line | None) -> AbstractContextManager[pytest.MonkeyPatch | None]:
    return nullcontext() if line is None else pytest.MonkeyPatch.context()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run `item` as often as it is named; the report of the run as it is alone counts for pytest."""
    test = name_of(item.nodeid)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for line in (None, *(line for line in _lines if test in line.tests)):
        item._initrequest()  # type: ignore[attr-defined]  # a Function's; so do plugins that run a test again
        with _switched(line) as patch:
            if line and patch:
                switch(line, patch)
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        _ends.setdefault(line.id if line else AS_IT_IS, {}).setdefault(test, []).append(_end(reports))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _end(reports: Sequence[pytest.TestReport]) -> str:
    """`passed`, or the phase that did not and the name of what it raised: `call AssertionError`."""
    failed = next((report for report in reports if report.outcome != "passed"), None)
    return f"{failed.when} {getattr(failed, 'raised', failed.outcome)}" if failed else PASSED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None:
        report.raised = call.excinfo.typename  # type: ignore[attr-defined]  # a report takes what plugins add
    return report


def pytest_sessionfinish() -> None:
    Path(os.environ["SOCMON_ENDS"]).write_text(json.dumps(_ends))
