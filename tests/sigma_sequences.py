"""Rules, and runs of events that are nearly the same: values that Python takes for one, absent beside null.

Rules are those of `sigma_strategies`, and rules for Windows, whose events say by two fields which rules look at them.
"""

from random import Random
from typing import Any

import sigma_strategies as made
from hypothesis import strategies as st

Fields = dict[str, Any]
Stated = dict[str, str | None]

RULES = 8  # of each kind, in one set
_RANDOM = Random(22)
_choose = _RANDOM.choice
_ABSENT = object()
# In each row what must not be taken for each other, or must although it looks different; first what Python calls equal.
_TWINS: list[list[Any]] = [
    [True, 1, 1.0, "1", "true", "True", [True], [1], {"k": 1}, "1.0"],
    [False, 0, 0.0, -0.0, "0", "false", "", None, [], [None], {}],
    [5, 5.0, "5", "+5", "05", [5], [[5]], {"k": {"l": "5"}}],
    [9007199254740992, 9007199254740992.0, 9007199254740993, "9007199254740993"],
    [1e30, 10**30, str(10**30), 1e22, 10**22, 2.5, "2.5", "2.50"],
    [None, [None], [None, "a"], ["a", None], "None", "null", [[None]]],
    ["a", "A", ["a"], ["a", "b"], ["b", "a"], {"k": "a"}, {"a": "k"}, "a\n", "a\x00", " a"],
    ["İx", "i\u0307x", "ix", "Ix", "\u0131x", "İX"],
    ["ΟΔΟΣ", "οδος", "οδοσ", ["ΟΔΟΣ"], "ΟΔΟΣ "],
    ["đ", "Đ", "d\u0323a", "ạ", "\u212a", "k", "ß", "ẞ", "ss"],
    ["\ud800a", "?a", "a\ud800", "\ufffda", "b\udfffa"],  # half of a pair, which UTF-8 cannot hold
    ["10.1.2.3", "::ffff:10.1.2.3", " 10.1.2.3", "10.1.2.3\n", ["10.1.2.3"], "10.01.2.3", 167838211],
    ["2024-12-30T00:05:00Z", "2024-12-30t00:05:00z", "2024-12-30", ["2024-12-30"], "2024-12-30 00:05"],
]
_SYSMON = "Microsoft-Windows-Sysmon/Operational"
_ROUTING: dict[str, list[Any]] = {
    "EventID": [1, 1, "1", 1.0, True, "01", " 1", 4688, "4688", 4688.0, None, [1], [1, 4688], {"k": 1}, 3, _ABSENT],
    "Channel": [_SYSMON, _SYSMON, _SYSMON.upper(), "Security", "security", "System", "", None, 5, ["System"], _ABSENT],
}
_NAMES = ("Image", "NewProcessName", "CommandLine", "User", "Threat Name", "ThreatName")
_WORDS = [
    "a", "A", "b", "1", "5", "true", "ab", "İx", "i\u0307x", "οδοσ", "đ", "k", "*a", "a?", "?", "*", "", "ss", "b1",
]  # fmt: skip
_ENDS = ["", "", "|contains", "|endswith", "|startswith", "|cased", "|re", "|contains|all", "|exists", "|fieldref"]
_ROUTED_LINES: list[tuple[str, Any]] = [
    ("EventID", 1), ("EventID", [1, 4688]), ("EventID", "4688"), ("EventID|gte", 3), ("EventID", None),
    ("EventID|exists", False), ("EventID|contains", "8"), ("EventID|neq", 1), ("EventID|fieldref", "CommandLine"),
    ("EventID|re", "^1$"), ("EventID", True), ("Channel", "Security"), ("Channel|contains", "sysmon"),
    ("Channel|exists", True), ("Channel", [None, "System"]), ("Channel|re", "^Sec"), ("Channel|cased", "Security"),
]  # fmt: skip
_SOURCES = [
    {"product": "windows", "category": "process_creation"}, {"product": "windows", "category": "process_creation"},
    {"product": "windows", "service": "security"}, {"product": "windows"}, {"category": "process_creation"},
    {"product": "windows", "service": "sysmon"}, {"product": "windows", "category": "antivirus"},
]  # fmt: skip
_EVENT_SOURCES: list[Stated] = [
    {"product": "windows"}, {"product": "windows"}, {"product": "Windows", "service": None},
    {"product": "windows", "service": "security"}, {"product": "windows", "category": "Process_Creation"},
]  # fmt: skip


def _there(event: Fields) -> Fields:
    return {name: value for name, value in event.items() if value is not _ABSENT}


def _windows_event() -> Fields:
    event = {name: _choose(_choose(_TWINS)) for name in _NAMES if _RANDOM.randint(0, 1)}
    return _there({name: _choose(values) for name, values in _ROUTING.items()} | event)


def _run(base: Fields, name: str) -> list[Fields]:
    """An event in forms that differ in one field, which some of them lack; the last one is the first one again."""
    held = _ROUTING.get(name) or [*_choose(_TWINS[:3]), *_choose(_TWINS), _ABSENT]
    forms = [_there({**base, name: value}) for value in _RANDOM.sample(held, min(len(held), 8))]
    return [*forms, dict(forms[0])]


def _line() -> tuple[str, Any]:
    if _RANDOM.randint(0, 2) == 0:
        return _choose(_ROUTED_LINES)
    name, end = _choose(_NAMES), _choose(_ENDS)
    special: dict[str, list[Any]] = {"|exists": [True, False], "|fieldref": [*_NAMES], "|re": made.REGEXES}
    if end in special:
        return name + end, _choose(special[end])
    if end == "|contains|all":
        return name + end, _RANDOM.sample(_WORDS, 2)
    return name + end, _choose(_WORDS) if end else _choose([*_WORDS, ["a", None], 1, True, None])


def _detection() -> Any:
    if _RANDOM.randint(0, 5) == 0:
        return _RANDOM.sample(["a", "1", "Security", "4688", "İx", "*8*", "true"], 2)
    return dict(_line() for _ in range(_choose([1, 1, 2])))


_DETECTIONS = st.sampled_from([_detection() for _ in range(2000)])


@st.composite
def _windows_rule(draw: st.DrawFn, number: int) -> dict[str, Any]:
    return {
        "title": f"rule {number}",
        "id": f"00000000-0000-4000-8000-00000000000{number}",
        "logsource": draw(st.sampled_from(_SOURCES)),
        "detection": {name: draw(_DETECTIONS) for name in made.SECTIONS} | {"condition": draw(made.CONDITIONS)},
    }


PLAIN_RULES = st.tuples(*(made.rules(number) for number in range(RULES))).map(list)
WINDOWS_RULES = st.tuples(*(_windows_rule(number) for number in range(RULES))).map(list)


def _sequences(runs: list[list[Fields]], sources: list[Stated]) -> st.SearchStrategy[list[tuple[Fields, Stated]]]:
    """Runs after each other, all of one log source each, the first run once more at the end."""
    several = st.lists(st.tuples(st.sampled_from(runs), st.sampled_from(sources)), min_size=2, max_size=5)
    return several.map(lambda found: [(form, source) for run, source in [*found, found[0]] for form in run])


PLAIN_EVENTS = _sequences([_run(made._event(), _choose("AABBBNNNITX")) for _ in range(1500)], made.EVENT_SOURCES)
WINDOWS_EVENTS = _sequences(
    [_run(_windows_event(), _choose([*_NAMES, *_ROUTING, *_ROUTING])) for _ in range(1500)], _EVENT_SOURCES
)
