"""Each test of a fault says which processes, signals and mounts it used; one that started no process proves nothing."""

from collections.abc import Iterator

import fault_kit
import pytest


@pytest.fixture(autouse=True)
def used(request: pytest.FixtureRequest) -> Iterator[fault_kit.Used]:
    """What this test does; processes that it shares with others it tells itself."""
    number = fault_kit.number_of(request.node.name)
    with fault_kit.noted() as noted:
        yield noted
    if number is not None:
        request.node.user_properties.append(fault_kit.property_of(number, noted))
        assert noted.processes, "the test of a fault started no second process"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Processes that are ended to clean up are no part of a fault."""
    noted = getattr(item, "funcargs", {}).get("used")
    if isinstance(noted, fault_kit.Used):
        noted.over = True
