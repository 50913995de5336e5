"""Placeholders: what `%name%` comes to with each modifier, what it may not be, and what a rule's hash knows of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sigma_kit import ANY_SOURCE, HEAD, fires, rule_text

from socmon.sigma import RuleSet
from socmon.sigma.placeholders import MAX_VALUES
from socmon.sigma.ruleset import parse_rules

VALUES: Mapping[str, Sequence[str | int | float]] = {
    "servers": ["srv*", "DC-?"],
    "users": ["root", "adm_lan"],
    "port": [22, 2222],
    "ratio": [2.5],
    "limit": [5],
    "net": ["10.0.0.0/8", "2001:db8::/32"],
    "dir": ["C:\\Temp\\", r"D:\\"],
    "star": [r"\*"],
    "dot": ["10.0.0.1"],
    "name with-dash.1": ["x"],
}
NO_VALUES = "no values; list them in the configuration, under detection.placeholders"
NO_NETWORK = "an IPv4 or IPv6 network; write the network's first address and its length, as in 10.0.0.0/8"
NO_PLACEHOLDER = (
    r"belongs to no placeholder; write %name% for a placeholder, \\%name% for one behind a backslash, "
    r"\% for a percent sign"
)


def rules(line: str, values: Mapping[str, Sequence[str | int | float]] = VALUES) -> RuleSet:
    return parse_rules("rule.yml", rule_text(f"s:\n  {line}\ncondition: s").encode(), placeholders=values)


def matched(line: str, *found: Any) -> list[bool]:
    loaded = rules(line)
    assert [str(error) for error in loaded.errors] == []
    return [fires(loaded, {"f": value}) for value in found]


@pytest.mark.parametrize(
    ("line", "yes", "no"),
    [
        ("f|expand: '%servers%'", ["srv1", "SRV", "dc-1"], ["xsrv", "dc-12", "%servers%"]),
        ("f|expand: ['%servers%', own]", ["srv1", "own"], ["owned"]),
        ("f|expand: ['%users%', '%servers%']", ["root", "srv"], ["user"]),
        ("f|expand: 'a%users%b%port%c'", ["arootb22c", "aADM_LANb2222c"], ["arootb2c", "a%users%b22c"]),
        ("f|contains|expand: '%users%'", ["xrooty", "root"], ["roo"]),
        ("f|expand|contains: '%users%'", ["xrooty", "root"], ["roo"]),
        ("f|startswith|expand: '%users%@'", ["root@x"], ["xroot@", "root"]),
        ("f|endswith|expand: '@%dot%'", ["x@10.0.0.1"], ["x@10.0.0.12", "x@10a0.0.1"]),
        ("f|expand|cased: '%users%'", ["root"], ["Root"]),
        ("f|cased|expand: '%users%'", ["root"], ["Root"]),
        ("f|neq|expand: '%users%'", ["lan"], ["root", "adm_lan"]),
        ("f|expand: '%port%'", [22, "22"], [23]),
        ("f|gte|expand: '%limit%'", [5, 6], [4]),
        ("f|lt|expand: '%ratio%'", [2.4], [2.5]),
        ("f|cidr|expand: '%net%'", ["10.1.2.3", "2001:db8::1"], ["11.1.2.3", "fe80::1"]),
        ("f|windash|contains|expand: ' -u %users%'", ["x /u root", "x -u root"], ["x -u lan"]),
        ("f|base64|contains|expand: '%users%'", ["xcm9vdA==x"], ["root"]),
        ("f|expand: '%dir%*.exe'", [r"C:\Temp\a.exe", r"D:\a.exe"], ["C:\\Temp*.exe", r"C:\Tempa.exe"]),
        (r"f|expand: '\\%users%'", [r"\root"], ["root", r"\\root"]),
        ("f|expand: '%star%%users%'", ["*root"], ["xroot"]),
        (r"f|expand: '\%plain%users%'", ["%plainroot", "%plainadm_lan"], ["plainroot"]),
        (r"f|expand: ['\%users\%', '%port%']", ["%users%", 22], ["root"]),
        ("f|expand: '%name with-dash.1%'", ["x"], ["y"]),
        ("f|expand: '%users%-%users%'", ["root-root", "root-adm_lan"], ["root"]),
        ("f: '%users%'", ["%users%"], ["root"]),
        ("f|contains: '%users%'", ["x%users%"], ["root"]),
        ("f|re|expand: '^%users%$'", ["root"], ["Root", "xroot"]),
        ("f|re|i|expand: '^%servers%$'", ["SRV1", "dc-9", "srv\nx"], ["dc-99"]),
        ("f|re|expand: '^(%dot%)+$'", ["10.0.0.1", "10.0.0.110.0.0.1"], ["10a0.0.1"]),
        ("f|re|expand: '^%dot%{2}$'", ["10.0.0.110.0.0.1"], ["10.0.0.11"]),
        (r"f|re|expand: '\d\%%users%'", ["5%root"], ["5root"]),
    ],
)
def test_a_placeholder_stands_for_any_of_its_values(line: str, yes: list[Any], no: list[Any]) -> None:
    assert matched(line, *yes) == [True] * len(yes)
    assert matched(line, *no) == [False] * len(no)


def test_all_wants_each_value_of_the_rule_and_any_of_what_it_stands_for() -> None:
    line = "f|contains|all|expand: ['%users%', 'on', '%port%']"

    assert matched(line, "root on 22", "adm_lan on 2222", "root adm_lan on", "root 22") == [True, True, False, False]


def test_keywords_and_lists_of_maps_have_placeholders_too() -> None:
    keywords = parse_rules("r.yml", rule_text("s: {'|expand': '%users%'}\ncondition: s").encode(), placeholders=VALUES)
    maps = rule_text("s:\n  - f|expand: '%users%'\n  - g|expand: '%port%'\n    f: x\ncondition: s")
    either = parse_rules("r.yml", maps.encode(), placeholders=VALUES)

    assert [fires(keywords, {"any": text}) for text in ("by root", "by lan")] == [True, False]
    assert [fires(either, event) for event in ({"f": "root"}, {"f": "x", "g": 22}, {"f": "x"})] == [True, True, False]


def test_two_lines_of_one_field_with_and_without_a_placeholder_both_hold() -> None:
    text = rule_text("s:\n  f|contains|expand: '%users%'\n  f|contains: 'x'\ncondition: s")
    loaded = parse_rules("r.yml", text.encode(), placeholders=VALUES)

    assert [fires(loaded, {"f": value}) for value in ("rootx", "root", "x")] == [True, False, False]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("f|expand: '%gone%'", f"placeholder %gone% has {NO_VALUES}"),
        ("f|expand: ['%gone%', 'x%away%%gone%', '%port%']", f"placeholders %gone%, %away% have {NO_VALUES}"),
        ("f|expand: '%Users%'", f"placeholder %Users% has {NO_VALUES}"),
        ("f|expand: plain", "expand finds no placeholder in 'plain'; write %name%, or leave it out"),
        ("f|expand: 5", "expand finds no placeholder in 5; write %name%, or leave it out"),
        ("f|expand: []", "expand finds no placeholder in []; write %name%, or leave it out"),
        (r"f|expand: 'C:\%users%\x'", rf"a % in 'C:\\%users%\\x' {NO_PLACEHOLDER}"),
        ("f|expand: '50% of %users%'", f"a % in '50% of %users%' {NO_PLACEHOLDER}"),
        ("f|expand|expand: '%users%'", "the modifier expand stands twice; remove one"),
        ("f|gt|expand: '%users%'", "the modifier gt does not take root; it takes a number, without quotes"),
        ("f|cidr|expand: '%users%'", f"Invalid CIDR expression: 'root' does not appear to be {NO_NETWORK}"),
    ],
)  # fmt: skip
def test_what_is_no_placeholder_or_has_no_values_is_refused_at_its_line(line: str, error: str) -> None:
    first = HEAD.count("\n") + 2

    assert [str(each) for each in rules(line).errors] == [f"rule.yml:{first}: {error}"]


def test_all_missing_placeholders_of_a_rule_are_named_at_once_at_the_first() -> None:
    text = rule_text(
        "s: {f|expand: '%a%'}\nt:\n  - g|expand: '%b%'\n  - g|expand: ['%users%', '%c%']\ncondition: s or t"
    )
    loaded = parse_rules("r.yml", text.encode(), placeholders=VALUES)

    assert [(error.line, error.message[:38]) for error in loaded.errors] == [
        (HEAD.count("\n") + 1, "placeholders %a%, %b%, %c% have no val")
    ]


def test_the_values_of_a_line_are_bounded() -> None:
    side = 101  # its square is over the bound
    many = {"a": list(range(side)), "full": list(range(MAX_VALUES))}

    errors = [rules(line, many).errors for line in (
        "f|expand: '%a%-%a%'", "f|expand: '%full%'", "f|expand: ['%full%', '%a%']", "f|expand: '" + "%a%" * 40 + "'",
    )]  # fmt: skip

    told = [error[0].message.split(";")[0] if error else "" for error in errors]
    assert told[:3] == [
        "the placeholders come to 10201 values here", "", "the placeholders come to 10101 values here",
    ]  # fmt: skip
    assert told[3].startswith("the placeholders come to 1488")


def test_the_hash_covers_the_values_that_a_rule_uses_and_no_others() -> None:
    def hash_of(line: str, **values: list[str]) -> str:
        (rule,) = rules(line, values).rules
        return rule.hash

    line = "f|expand: '%a%'"
    assert hash_of(line, a=["1"]) == hash_of(line, a=["1"], b=["2"])
    assert hash_of(line, a=["1"]) != hash_of(line, a=["2"])
    assert hash_of("f: '%a%'", a=["1"]) == hash_of("f: '%a%'")


def test_names_that_nothing_uses_are_known() -> None:
    text = rule_text("s: {f|expand: ['%users%', '%gone%'], g: '%port%'}\ncondition: s").encode()

    loaded = parse_rules("rule.yml", text, placeholders={"users": ["a"], "port": [1], "Users": ["b"]})

    assert len(loaded.errors) == 1
    assert loaded.unused == ["port", "Users"]


def test_a_filter_has_placeholders_and_its_rule_changes_with_their_values() -> None:
    filter_ = (
        "title: F\nlogsource: {product: test}\nfilter:\n  rules: any\n  s: {f|expand: '%a%'}\n  condition: not s\n"
    )
    text = f"{rule_text('s: {f: [1, 2]}' + chr(10) + 'condition: s')}---\n{filter_}".encode()

    one, two, none = (parse_rules("r.yml", text, placeholders=values) for values in ({"a": [1]}, {"a": [2]}, {}))

    assert [bool(one.match({"f": each}, ANY_SOURCE)) for each in (1, 2)] == [False, True]
    assert one.rules[0].hash != two.rules[0].hash
    assert [str(error)[:30] for error in none.errors] == ["r.yml:13: placeholder %a% has "]
    assert none.rules[0].filters == ()


def test_a_placeholder_without_expand_is_plain_text_and_warned_of_if_it_has_values() -> None:
    for line in ("f: ['%users%', '%APPDATA%', 7]", "f|contains: ['%users%']"):
        loaded = rules(line)

        assert (fires(loaded, {"f": "%users%"}), fires(loaded, {"f": "root"})) == (True, False)
        (warning,) = map(str, loaded.warnings)
        assert warning == (
            "rule.yml:7: %users% is plain text here, as the line has no modifier expand; "
            "add |expand to have its values instead"
        )
    assert rules("f|expand: ['%users%', plain]").warnings == []
    assert rules("f: '%users%'", {}).warnings == []
