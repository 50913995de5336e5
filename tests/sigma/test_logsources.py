"""Which rules see which events: routing by log source, and field aliases."""

import pytest
from sigma_kit import HEAD, fires, loaded, rule_text

from socmon.event import LogSource
from socmon.sigma import RuleSet


def rule_for(logsource: str, detection: str = "sel: {F: x}\ncondition: sel") -> RuleSet:
    return loaded(rule_text(detection, HEAD.replace("\n  product: test", f" {logsource}")))


EVENT = {"F": "x"}
SSHD = {"product": "linux", "service": "sshd"}


@pytest.mark.parametrize(
    ("logsource", "event", "seen"),
    [
        ("{product: linux}", SSHD, True),
        ("{service: sshd}", SSHD, True),
        ("{product: linux, service: sshd}", SSHD, True),
        ("{product: linux, service: auth}", SSHD, True),
        ("{product: linux, service: syslog}", SSHD, True),
        ("{product: linux, service: sudo}", SSHD, False),
        ("{product: linux, category: process_creation}", SSHD, False),
        ("{product: windows, service: sshd}", SSHD, False),
        ("{product: linux, service: auth}", {"product": "linux", "service": "sudo"}, True),
        ("{product: linux, service: auth}", {"product": "linux", "service": "su"}, True),
        ("{product: linux, service: auth}", {"product": "linux", "service": "cron"}, False),
        ("{product: linux, service: auth}", {"product": "linux", "service": "auth"}, True),
        ("{product: linux, service: auth}", {"product": "linux"}, False),
        ("{product: linux, service: syslog}", {"product": "linux", "service": "auditd"}, False),
        ("{product: linux, service: syslog}", {"product": "linux", "service": "anything"}, True),
        ("{product: linux, service: syslog}", {"product": "linux"}, True),
        ("{product: linux, service: clamav}", {"product": "linux", "service": "clamd"}, True),
        ("{product: linux, service: guacamole}", {"product": "linux", "service": "guacd"}, True),
        ("{service: netflow}", {"product": "zeek", "service": "conn"}, True),
        ("{service: netflow}", {"product": "zeek", "service": "dns"}, False),
        ("{product: macos, service: syslog}", {"product": "linux", "service": "sshd"}, False),
        ("{product: linux, service: sshd}", {"product": "linux", "service": "auth"}, False),
        ("{product: Windows, service: Security}", {"product": "windows", "service": "security"}, True),
        ("{product: windows, service: security}", {"product": "Windows", "service": "SECURITY", "category": "x"}, True),
        ("{product: linux}", {}, False),
        ("{product: linux}", {"product": None, "service": ""}, False),
    ],
)
def test_a_rule_sees_what_its_log_source_covers(logsource: str, event: dict[str, str | None], seen: bool) -> None:
    rules = rule_for(logsource)

    assert fires(rules, EVENT, event) is seen


def test_a_log_source_may_be_given_as_the_events_own() -> None:
    rules = rule_for("{product: linux}")

    assert rules.match(EVENT, LogSource(product="Linux", service="sshd")) == (rules.rules[0].id,)


def test_matches_stand_in_load_order() -> None:
    first = rule_text("sel: {F: x}\ncondition: sel")
    rules = loaded(f"{first}---\n{first.replace('5b0e5a9c', '1b0e5a9c')}")

    assert rules.match(EVENT, {"product": "test"}) == tuple(rule.id for rule in rules.rules)


def test_made_up_log_sources_do_not_pile_up() -> None:
    rules = rule_for("{product: linux}")

    for number in range(10_000):
        assert rules.match(EVENT, LogSource(product="linux", service=f"tag{number}"))

    assert len(rules._plans.routes) <= 4096
    assert len(rules._plans._bases) == 1


PROCESS = "{product: windows, category: process_creation}"
SECURITY_4688 = {"product": "windows", "service": "security", "category": "process_creation"}


def test_security_4688_is_a_process_creation_with_other_names() -> None:
    detection = "sel:\n  Image|endswith: '\\cmd.exe'\n  ParentImage|endswith: '\\winword.exe'\ncondition: sel"
    rules = rule_for(PROCESS, detection)

    assert fires(rules, {"NewProcessName": "C:\\CMD.EXE", "ParentProcessName": "C:\\WINWORD.EXE"}, SECURITY_4688)
    assert fires(rules, {"Image": "C:\\cmd.exe", "ParentImage": "C:\\winword.exe"}, SECURITY_4688)
    assert rules.fields_of(rules.rules[0].id) == ("Image", "NewProcessName", "ParentImage", "ParentProcessName")


def test_a_field_of_the_rules_own_name_comes_before_its_aliases() -> None:
    detection = "sel: {Image: a}\nnone: {Image: null}\ncondition: sel or none"
    rules = rule_for(PROCESS, detection)

    assert not fires(rules, {"Image": "b", "NewProcessName": "a"}, SECURITY_4688)
    assert not fires(rules, {"NewProcessName": "b"}, SECURITY_4688)
    assert fires(rules, {}, SECURITY_4688)


def test_rules_for_flows_find_the_ends_of_a_connection_under_their_names() -> None:
    rules = rule_for("{service: netflow}", "sel: {destination.port: 23, source.ip|cidr: 192.0.2.0/24}\ncondition: sel")

    assert fires(rules, {"id.resp_p": 23, "id.orig_h": "192.0.2.7"}, {"product": "zeek", "service": "conn"})


def test_aliases_are_for_their_log_source_only() -> None:
    rules = rule_for("{product: windows}", "sel: {Image: a}\ncondition: sel")

    assert not fires(rules, {"NewProcessName": "a"}, SECURITY_4688)
