"""Events without end of which no two are alike: an attacker who varies event number, user, address, host and text."""

from collections.abc import Iterator
from typing import Any

from socmon.event import SECOND_US, Event, LogSource, Record, Source

_START_US = 1_764_000_000 * SECOND_US
_STEP_US = 1000  # a thousand events a second
_WINDOWS = LogSource(product="windows")
_SYSMON = "Microsoft-Windows-Sysmon/Operational"
_LONG = 500  # one event in so many holds a text of _LONG_CHARS
_LONG_CHARS = 20_000
_MIX = 2_654_435_761  # odd, so that multiplied by it numbers stay different (Knuth, volume 3, section 6.4)


def events(count: int) -> Iterator[Event]:
    """`count` events, a millisecond apart, in turns of each kind below."""
    for number in range(count):
        mixed = number * _MIX % (1 << 32)
        host = f"pc{number // 3:x}"
        fields, logsource = _KINDS[number % len(_KINDS)](number, mixed)
        fields["Computer"] = host
        if number % _LONG == 0:
            fields["CommandLine"] = f"{mixed:x}" + "a" * _LONG_CHARS
        time_us = _START_US + number * _STEP_US
        source = Source(collector="field", peer=_address(number // 5), format="windows_json")
        yield Event(Record(b"", source, time_us, seq=number + 1), time_us, "stated", host, logsource, fields)


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _process(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """A process; every fourth has a name that rules know, on a host that nobody has heard of."""
    name = "whoami" if number % 16 == 0 else f"{mixed:x}"
    return {
        "EventID": 1,
        "Channel": _SYSMON,
        "Image": rf"C:\Users\u{mixed:x}\AppData\{name}.exe",
        "CommandLine": f"{name} /{mixed:x} {number}",
        "ParentImage": rf"C:\Windows\{mixed:x}\cmd.exe",
        "User": f"CORP\\u{mixed:x}",
    }, _WINDOWS


def _registry(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """A value that is set, in a list."""
    target = rf"HKLM\SOFTWARE\{mixed:x}\CurrentVersion\Run"
    details = [number, f"C:\\{mixed:x}.exe"]
    return {"EventID": 13, "Channel": _SYSMON, "TargetObject": target, "Details": details, "Image": mixed}, _WINDOWS


def _logon(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """A logon that fails: a few from each address, each as another user; shipped rules correlate them."""
    user, address = f"u{mixed:x}", _address(number // 60)
    return {"EventID": 4625, "Channel": "Security", "TargetUserName": user, "IpAddress": address}, _WINDOWS


def _unknown(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """An event of a number and a channel that nobody knows."""
    number_of: Any = (mixed, float(mixed), str(mixed), [mixed], None)[number % 5]
    return {"EventID": number_of, "Channel": f"Channel {mixed:x}", "Data": mixed, "User": f"u{number}"}, _WINDOWS


def _known_number(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """An event of a known channel and a number that nobody knows."""
    return {"EventID": mixed, "Channel": "Security", "SubjectUserName": f"u{mixed:x}", "Data": number}, _WINDOWS


def _ssh(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """A login that fails; shipped rules correlate it."""
    fields = {"outcome": "failure", "src_ip": _address(number // 50), "user": f"u{mixed:x}", "message": f"f {number}"}
    return fields, LogSource(product="linux", service="sshd")


def _tag(number: int, mixed: int) -> tuple[dict[str, Any], LogSource]:
    """A message of syslog under a tag of its own."""
    return {"message": f"text {mixed:x}", "pid": number}, LogSource(product="linux", service=f"tag{mixed:x}")


_KINDS = (_process, _logon, _registry, _unknown, _process, _ssh, _known_number, _tag)
