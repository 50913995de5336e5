"""Readings of sensors in JSON: which objects are one, and what their values mean."""

from typing import Any

import msgspec
import pytest
from parsers.records import event

from socmon.event import Event


def event_of(**keys: Any) -> Event:
    return event(msgspec.json.encode(keys), "json")


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ({"temperature": 22.5}, {"temperature": 22.5, "readings": ["temperature"]}),
        ({"Nhiệt độ": "0", "do_am": 55}, {"temperature": 0.0, "humidity": 55, "readings": ["temperature", "humidity"]}),
        ({"smoke": True, "sensorId": "s1"}, {"smoke": "yes", "sensor": "s1", "readings": ["smoke"]}),
        ({"door": "Closed"}, {"door": "no", "readings": ["door"]}),
        ({"water_leak": 0}, {"water_leak": "no", "readings": ["water_leak"]}),
    ],
)
def test_an_object_with_readings_is_a_sensors(keys: dict[str, Any], fields: dict[str, Any]) -> None:
    found = event_of(**keys)

    assert found.logsource.category == "sensor"
    assert {name: found.fields[name] for name in fields} == fields
    assert found.host == fields.get("sensor", "")


@pytest.mark.parametrize(
    "keys",
    [
        {"temperature": "warm"},
        {"temperature": "nan"},
        {"temperature": True},
        {"temperature": None},
        {"smoke": "x" * 100},
        {"door": []},
        {"temperature": 20, "user": "an"},
        {"msg": "temperature 20"},
    ],
)
def test_any_other_object_is_an_applications(keys: dict[str, Any]) -> None:
    found = event_of(**keys)

    assert found.logsource.category == "application"
    assert "readings" not in found.fields


def test_a_category_that_is_stated_counts() -> None:
    assert event_of(temperature=20, category="weather").logsource.category == "weather"
