"""What the usual keys of an environmental sensor's messages mean: the readings of a machine room, and who took them.

Sources: the payloads of Tasmota, Zigbee2MQTT, ESPHome, The Things Stack and Shelly, and keys in Vietnamese.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

_NUMBERS = {
    "temperature": ("temperature", "temp", "temperaturec", "nhietdo"),
    "humidity": ("humidity", "relativehumidity", "doam"),
}
_STATES = {
    "smoke": ("smoke", "smokedetected", "khoi"),
    "water_leak": ("waterleak", "leak", "ronuoc"),
    "door": ("door", "cua"),
}
_SENSOR = (
    *("sensor", "sensorid", "sensorname", "device", "deviceid", "devicename", "deveui", "enddeviceidsdeviceid"),
    *("cambien", "macambien", "thietbi"),
)
_PEOPLE = ("user", "username", "userid", "login", "account", "taikhoan")  # an application's event, not a sensor's
_YES = frozenset({"1", "true", "on", "yes", "alarm", "detected", "open", "opened", "co", "mo"})
_NO = frozenset({"0", "false", "off", "no", "clear", "ok", "none", "closed", "close", "khong", "dong"})
_MOST_LETTERS = 32


def readings(known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the category sensor: `temperature humidity smoke water_leak door sensor readings`; {} without any.

    Args:
        known: by the letters of their names alone, see `known_keys.by_meaning`.
    """
    if any(key in known for key in _PEOPLE):
        return {}
    found: dict[str, Any] = {}
    for name, keys in _NUMBERS.items():
        if (number := next(filter(None, (_number(known.get(key)) for key in keys)), None)) is not None:
            found[name] = number[0]
    for name, keys in _STATES.items():
        if state := next(filter(None, (_state(known.get(key)) for key in keys)), None):
            found[name] = state
    if not found:
        return {}
    found["readings"] = list(found)
    sensor = next((known[key] for key in _SENSOR if isinstance(known.get(key), str) and known[key]), "")
    if sensor:
        found["sensor"] = sensor[:255]
    return found


def _number(value: Any) -> tuple[float] | None:
    """The number, in a tuple, as 0 is one too."""
    if isinstance(value, str) and len(value) <= _MOST_LETTERS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return (value,)


def _state(value: Any) -> str:
    """`yes` (as for an open door) or `no`; "" for what is neither."""
    if not isinstance(value, str | bool | int) or (isinstance(value, str) and len(value) > _MOST_LETTERS):
        return ""
    text = str(value).strip().lower()
    return "yes" if text in _YES else "no" if text in _NO else ""
