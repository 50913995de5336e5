"""The examples of the Sigma rules specification 2.1.0, and every form of its conditions."""

import os
from pathlib import Path
from typing import Any

import pytest
from sigma_kit import FIRST_LINE, HEAD, fires, loaded, refused, rule_text

SCHEMA_RULES = (
    Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "logs/sigma/spec/tests/schema/rules"
)
Events = list[dict[str, Any]]

# Section of the specification → its example as it stands there, events that match it, and events that do not.
EXAMPLES: dict[str, tuple[str, Events, Events]] = {
    "Yaml File": (
        r"""
        selection:
            Image: 'C:\Windows\System32\whoami.exe'
        condition: selection
        """,
        [{"Image": r"c:\windows\system32\WHOAMI.EXE"}],
        [{"Image": "whoami.exe"}],
    ),
    "String Wildcard, one": (
        "selection:\n  Image: 'prog?.exe'\ncondition: selection",
        [{"Image": "progA.exe"}, {"Image": "progB.exe"}],
        [{"Image": "prog.exe"}, {"Image": "progAB.exe"}],
    ),
    "String Wildcard, many": (
        "selection:\n  Image: 'antivirus_V*.exe'\ncondition: selection",
        [{"Image": "antivirus_V1.exe"}, {"Image": "antivirus_V21.2.1.exe"}],
        [{"Image": "antivirus_1.exe"}],
    ),
    "Lists, of strings": (
        """
        keywords:
            - 'EVILSERVICE'
            - 'svchost.exe -n evil'
        condition: keywords
        """,
        [{"a": "EvilService started"}, {"b": "svchost.exe -n evil"}],
        [{"a": "svchost.exe"}],
    ),
    "Lists, of maps": (
        r"""
        selection:
            - Image|endswith: '\\example.exe'
            - Description|contains: 'Test executable'
        condition: selection
        """,
        [{"Image": r"C:\example.exe"}, {"Description": "a test executable."}],
        [{"Image": "example.exe"}, {"Description": "executable"}],
    ),
    "Maps, two numbers": (
        """
        selection:
            EventLog: Security
            EventID:
                - 517
                - 1102
        condition: selection
        """,
        [{"EventLog": "Security", "EventID": 517}, {"EventLog": "security", "EventID": "1102"}],
        [{"EventLog": "Security"}, {"EventID": 517}, {"EventLog": "Security", "EventID": 51}],
    ),
    "Maps, texts": (
        """
        selection:
              EventLog: Security
              EventID: 4769
              TicketOptions: '0x40810000'
              TicketEncryption: '0x17'
        condition: selection
        """,
        [{"EventLog": "Security", "EventID": 4769, "TicketOptions": "0x40810000", "TicketEncryption": "0x17"}],
        [{"EventLog": "Security", "EventID": 4769, "TicketOptions": "0x40810000", "TicketEncryption": 23}],
    ),
    "Special Field Values, not null": (
        """
        selection:
            EventID: 4738
        filter:
            PasswordLastSet: null
        condition: selection and not filter
        """,
        [{"EventID": 4738, "PasswordLastSet": "x"}, {"EventID": 4738, "PasswordLastSet": ""}],
        [{"EventID": 4738}, {"EventID": 4738, "PasswordLastSet": None}, {"PasswordLastSet": "x"}],
    ),
    "Special Field Values, empty or null": (
        """
        selection_main:
            FieldA: 'something'
        selection_empty1:
            FieldB: ''
        selection_empty2:
            FieldB: null
        condition: selection_main and 1 of selection_empty*
        """,
        [{"FieldA": "something", "FieldB": ""}, {"FieldA": "something"}, {"FieldA": "Something", "FieldB": None}],
        [{"FieldA": "something", "FieldB": "x"}, {"FieldB": ""}],
    ),
    "Field Existence": (
        """
        selection:
            EventID: 4738
            PasswordLastSet|exists: true
        condition: selection
        """,
        [{"EventID": 4738, "PasswordLastSet": None}, {"EventID": 4738, "PasswordLastSet": "x"}],
        [{"EventID": 4738}],
    ),
    "Keywords, or": (
        """
        mimikatz_keywords:
            - 'event::clear'
            - 'event::drop'
        condition: mimikatz_keywords
        """,
        [{"x": "run event::clear"}, {"x": "EVENT::DROP"}],
        [{"x": "event"}],
    ),
    "Keywords, and": (
        """
        keywords_cmdlet:
            '|all':
                - 'OabVirtualDirectory'
                - ' -ExternalUrl '
        condition: keywords_cmdlet
        """,
        [{"x": "Set-OabVirtualDirectory -ExternalUrl y"}],
        [{"x": "Set-OabVirtualDirectory"}, {"x": "a -ExternalUrl b"}],
    ),
}


@pytest.mark.parametrize("section", EXAMPLES)
def test_an_example_of_the_specification_means_what_it_says(section: str) -> None:
    detection, hits, misses = EXAMPLES[section]
    rules = loaded(rule_text(detection))

    assert [fields for fields in hits if not fires(rules, fields)] == []
    assert [fields for fields in misses if fires(rules, fields)] == []


@pytest.mark.skipif(not SCHEMA_RULES.is_dir(), reason=f"no {SCHEMA_RULES}; set SOCMON_DATA to the folder of real data")
def test_the_rules_that_the_schema_is_tested_with_load_or_are_of_another_taxonomy() -> None:
    rules = loaded((SCHEMA_RULES / "rule_1.yml").read_text())
    event = {"Provider_Name": "application error"}

    assert fires(rules, event, {"product": "windows", "service": "application"})
    assert not fires(rules, event, {"product": "windows", "service": "system"})
    assert refused((SCHEMA_RULES / "rule_ecs.yml").read_text()) == ["7: taxonomy 'ecs' is not supported; use sigma"]


# One field for each of these detections, which is the detection's name in capitals.
NAMES = ("sel1", "sel2", "filter", "_hidden", "keywords-x")
DETECTIONS = "".join(f"{name}: {{{name.upper()}: 1}}\n" for name in NAMES)


def holding(*names: str) -> dict[str, int]:
    return {name.upper(): 1 for name in names}


@pytest.mark.parametrize(
    ("condition", "hits", "misses"),
    [
        ("sel1", ["sel1"], ["sel2"]),
        ("sel1 and sel2", ["sel1 sel2"], ["sel1", "sel2"]),
        ("sel1 or sel2", ["sel1", "sel2"], ["filter"]),
        ("not sel1", ["", "sel2"], ["sel1"]),
        ("not not sel1", ["sel1"], [""]),
        ("sel1 or sel2 and filter", ["sel1", "sel2 filter"], ["sel2", "filter"]),
        ("(sel1 or sel2) and filter", ["sel1 filter", "sel2 filter"], ["sel1", "filter"]),
        ("not sel1 and sel2", ["sel2"], ["", "sel1 sel2"]),
        ("not (sel1 and sel2)", ["", "sel1"], ["sel1 sel2"]),
        ("not 1 of sel* and filter", ["filter"], ["sel1 filter", ""]),
        ("not all of sel* or filter", ["sel1", "sel1 sel2 filter"], ["sel1 sel2"]),
        ("((sel1))", ["sel1"], ["sel2"]),
        ("1 of them", ["sel1", "keywords-x"], ["_hidden", ""]),
        ("any of them", ["filter"], ["_hidden"]),
        ("all of them", ["sel1 sel2 filter keywords-x"], ["sel1 sel2 filter _hidden"]),
        ("1 of sel*", ["sel1", "sel2"], ["filter"]),
        ("any of sel*", ["sel2"], ["filter"]),
        ("all of sel*", ["sel1 sel2"], ["sel1"]),
        ("1 of *l*2", ["sel2"], ["sel1", "filter"]),
        ("1 of *er", ["filter"], ["sel1"]),
        ("1 of s*1", ["sel1"], ["sel2"]),
        ("1 of _*", ["_hidden"], ["sel1"]),
        ("1 of sel1", ["sel1"], ["sel2"]),
        ("all of sel* and not 1 of fil*", ["sel1 sel2"], ["sel1 sel2 filter"]),
        ("_hidden", ["_hidden"], ["sel1"]),
        ("keywords-x and sel1", ["keywords-x sel1"], ["sel1"]),
        ("  sel1  and\tsel2 ", ["sel1 sel2"], ["sel1"]),
        ("[sel1, sel2 and filter]", ["sel1", "sel2 filter"], ["sel2"]),
    ],
)
def test_a_condition_means_what_its_grammar_says(condition: str, hits: list[str], misses: list[str]) -> None:
    rules = loaded(rule_text(f"{DETECTIONS}condition: {condition}"))

    assert [names for names in hits if not fires(rules, holding(*names.split()))] == []
    assert [names for names in misses if fires(rules, holding(*names.split()))] == []


def test_a_condition_may_stand_on_several_lines() -> None:
    rules = loaded(rule_text(f"{DETECTIONS}condition: |\n  sel1 and\n  not sel2"))

    assert fires(rules, holding("sel1"))
    assert not fires(rules, holding("sel1", "sel2"))


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("sel1 and", "a condition is names with and, or, not, 1 of, all of and parentheses"),
        ("sel1 AND sel2", "write and in lower case"),
        ("NOT (sel1)", "write not in lower case"),
        ("1 OF them", "write of in lower case"),
        ("(sel1", "the condition ends too early; a condition is names with"),
        ("sel1 sel2", "cannot be read from 'sel2' on, in column 6; a condition is names with"),
        ("3 of them", "cannot be read from 'of' on, in column 3; of a number there is only `1 of`"),
        ("1 of", "cannot be read from 'of' on, in column 3; a condition is names with"),
        ("''", ""),
        ("sel3", "no detection is called 'sel3'; the rule has 'sel1'"),
        ("1 of other*", "no detection is called like 'other*'"),
        ("sel1 | count() by x > 5", "write a correlation rule"),
        ("[sel1, sel9]", "no detection is called 'sel9'"),
        ("[]", ""),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_at_its_line(condition: str, reason: str) -> None:
    (error,) = refused(rule_text(f"{DETECTIONS}condition: {condition}"))

    assert error.startswith(f"{FIRST_LINE + len(NAMES)}: ")
    assert reason in error


def test_a_rule_may_have_fields_of_its_own() -> None:
    text = rule_text("sel: {F: x}\ncondition: sel", HEAD.replace("title: A rule", "title: A rule\nour_ticket: 5"))

    assert fires(loaded(text), {"F": "x"})
