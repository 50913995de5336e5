"""What an event's own fields say of its log source: Windows' channels and event numbers, and their kin."""

from collections.abc import Mapping
from typing import Any

import pytest
from sigma_kit import HEAD, fires, loaded, rule_text

from socmon.event import LogSource
from socmon.sigma import RuleSet
from socmon.sigma.explaining import Explainer
from socmon.sigma.logsources import LogSources, Table, shipped_log_sources
from socmon.sigma.routing import Route
from socmon.sigma.ruleset import parse_rules

SYSMON = "Microsoft-Windows-Sysmon/Operational"
WINDOWS: Mapping[str, str | None] = {"product": "windows"}


def rule_for(logsource: str, detection: str = "sel: {EventID: '*'}\ncondition: sel") -> RuleSet:
    return loaded(rule_text(detection, HEAD.replace("\n  product: test", f" {logsource}")))


def is_seen(logsource: str, event: dict[str, Any], stated: Mapping[str, str | None] = WINDOWS) -> bool:
    return fires(rule_for(logsource), event, stated)


@pytest.mark.parametrize(
    ("channel", "number", "category"),
    [
        (SYSMON, 1, "process_creation"),
        (SYSMON, 2, "file_change"),
        (SYSMON, 3, "network_connection"),
        (SYSMON, 4, "sysmon_status"),
        (SYSMON, 16, "sysmon_status"),
        (SYSMON, 5, "process_termination"),
        (SYSMON, 6, "driver_load"),
        (SYSMON, 7, "image_load"),
        (SYSMON, 8, "create_remote_thread"),
        (SYSMON, 9, "raw_access_thread"),
        (SYSMON, 10, "process_access"),
        (SYSMON, 11, "file_event"),
        (SYSMON, 12, "registry_event"),
        (SYSMON, 12, "registry_add"),
        (SYSMON, 12, "registry_delete"),
        (SYSMON, 13, "registry_event"),
        (SYSMON, 13, "registry_set"),
        (SYSMON, 14, "registry_rename"),
        (SYSMON, 15, "create_stream_hash"),
        (SYSMON, 17, "pipe_created"),
        (SYSMON, 18, "pipe_created"),
        (SYSMON, 20, "wmi_event"),
        (SYSMON, 22, "dns_query"),
        (SYSMON, 23, "file_delete"),
        (SYSMON, 24, "clipboard_capture"),
        (SYSMON, 25, "process_tampering"),
        (SYSMON, 26, "file_delete_detected"),
        (SYSMON, 29, "file_executable_detected"),
        (SYSMON, 255, "sysmon_error"),
        ("Security", 4688, "process_creation"),
        ("Security", 4657, "registry_set"),
        ("Windows PowerShell", 400, "ps_classic_start"),
        ("Windows PowerShell", 800, "ps_classic_script"),
        ("PowerShellCore/Operational", 4104, "ps_script"),
        ("Microsoft-Windows-PowerShell/Operational", 4103, "ps_module"),
        ("Microsoft-Windows-Windows Defender/Operational", 1116, "antivirus"),
    ],
)
def test_channel_and_number_tell_the_category(channel: str, number: int, category: str) -> None:
    event = {"Channel": channel, "EventID": number}

    assert is_seen(f"{{product: windows, category: {category}}}", event)
    assert is_seen(f"{{category: {category}}}", event | {"EventID": str(number)})
    assert not is_seen(f"{{product: windows, category: {category}}}", event | {"EventID": number + 4000})
    assert not is_seen(f"{{product: windows, category: {category}}}", event | {"Channel": "System"})
    assert not is_seen(f"{{product: linux, category: {category}}}", event)


@pytest.mark.parametrize(
    ("channel", "service"),
    [
        ("Security", "security"),
        ("security", "security"),
        ("SECURITY", "security"),
        ("MICROSOFT-windows-sysmon/OPERATIONAL", "sysmon"),
        ("DNS Server", "dns-server"),
        ("Microsoft-Windows-AppLocker/MSI and Script", "applocker"),
    ],
)
def test_a_channel_tells_the_service_in_any_case(channel: str, service: str) -> None:
    assert is_seen(f"{{product: windows, service: {service}}}", {"Channel": channel, "EventID": 1})
    assert is_seen("{product: windows}", {"Channel": channel, "EventID": 1})
    assert not is_seen("{product: windows, service: system}", {"Channel": channel, "EventID": 1})


def test_service_and_category_may_both_be_asked_for() -> None:
    event = {"Channel": "Security", "EventID": 4688}

    assert is_seen("{product: windows, category: process_creation, service: security}", event)
    assert not is_seen("{product: windows, category: process_creation, service: sysmon}", event)


def test_what_an_event_states_stays_valid_beside_what_its_fields_tell() -> None:
    event = {"Channel": "Security", "EventID": 4688}
    stated: dict[str, str | None] = {"product": "Windows", "category": "Audit", "service": "Mine"}

    for logsource in ("category: audit", "service: mine", "category: process_creation", "service: security"):
        assert is_seen(f"{{product: windows, {logsource}}}", event, stated), logsource


def test_a_stated_service_tells_the_category_without_a_channel() -> None:
    stated: dict[str, str | None] = {"product": "windows", "service": "Sysmon"}

    assert is_seen("{category: process_creation}", {"EventID": 1}, stated)
    assert not is_seen("{category: process_creation}", {"EventID": 2}, stated)


@pytest.mark.parametrize("number", [True, [1], {"a": 1}, None, " 1", "01", 1.5, "", "\ud800", 1 << 70])
def test_what_is_no_event_number_tells_no_category(number: object) -> None:
    event = {"Channel": SYSMON, "EventID": number}

    assert not is_seen("{product: windows, category: process_creation}", event)
    assert not is_seen("{product: windows, service: security}", event | {"Channel": ["Security"]})


def test_a_truth_value_does_not_pass_for_the_number_that_was_asked_about_before() -> None:
    rules = rule_for("{product: windows, category: process_creation}")

    assert fires(rules, {"Channel": SYSMON, "EventID": 1}, WINDOWS)
    assert not fires(rules, {"Channel": SYSMON, "EventID": True}, WINDOWS)
    assert fires(rules, {"Channel": SYSMON, "EventID": 1.0}, WINDOWS)


def test_fields_route_only_events_of_the_product_of_the_route() -> None:
    event = {"Channel": SYSMON, "EventID": 1}

    elsewhere: list[dict[str, str | None]] = [{"product": "linux"}, {"product": None}, {"category": "application"}]
    for stated in elsewhere:
        assert not is_seen("{category: process_creation}", event, stated)


def test_sysmon_for_linux_numbers_its_events_likewise() -> None:
    stated: dict[str, str | None] = {"product": "linux", "service": "sysmon"}

    assert is_seen("{product: linux, category: process_creation}", {"EventID": "1"}, stated)
    assert is_seen("{product: linux, category: file_event}", {"EventID": 11}, stated)
    assert not is_seen("{product: linux, category: process_creation}", {"EventID": 1}, {"product": "linux"})


def test_made_up_channels_and_numbers_do_not_pile_up() -> None:
    rules = rule_for("{product: windows}")

    for number in range(5_000):
        event = {"Channel": f"made up {number}", "EventID": number}
        assert fires(rules, event, WINDOWS)
        rules.match(event, LogSource("windows", f"made up {number}"))

    assert len(rules._plans.routes) <= 4096
    assert len(rules._plans.routes[LogSource("windows")].matches) <= 4096
    (base,) = rules._plans._bases.values()
    assert len(base._plans) == 1


def test_products_without_routes_are_settled_by_their_log_source_alone() -> None:
    rules = rule_for("{product: linux}")
    sshd = LogSource("linux", None, "sshd")

    rules.match({"EventID": 1}, sshd)

    assert rules._plans.routes[sshd].names == ()
    assert len(rules._plans.routes[sshd].matches) == 1


def test_security_4657_is_a_registry_event_with_other_names() -> None:
    detection = "sel:\n  TargetObject|contains: '\\Control\\Lsa'\n  Details: '1'\n  Image|endswith: 'reg.exe'"
    event = {"Channel": "Security", "EventID": 4657, "ObjectName": "\\REGISTRY\\MACHINE\\SYSTEM\\Control\\Lsa"}
    rules = rule_for("{product: windows, category: registry_set}", f"{detection}\ncondition: sel")

    assert fires(rules, event | {"NewValue": "1", "ProcessName": "C:\\reg.exe"}, WINDOWS)
    assert not fires(rules, event | {"NewValue": "0", "ProcessName": "C:\\reg.exe"}, WINDOWS)


def test_what_defender_found_is_found_by_rules_for_any_scanner() -> None:
    rules = rule_for("{category: antivirus}", "sel: {Signature|contains: Mimi, Filename: '*.exe'}\ncondition: sel")
    event = {"Channel": "Microsoft-Windows-Windows Defender/Operational", "EventID": "1116"}

    assert fires(rules, event | {"ThreatName": "HackTool:Mimikatz", "Path": "C:\\m.exe"}, WINDOWS)


def test_an_explanation_tells_by_the_fields_why_a_rule_does_not_look() -> None:
    rules = rule_for("{product: windows, category: process_creation, service: sysmon}")
    explainer, (rule,) = Explainer(rules), rules.rules

    def told(channel: str, number: int) -> tuple[tuple[str, ...], LogSource]:
        explained = explainer.explain(rule, {"Channel": channel, "EventID": number}, LogSource("windows"))
        return explained.differing, explained.stated

    assert told(SYSMON, 1) == ((), LogSource("windows", "process_creation", "sysmon"))
    assert told(SYSMON, 13) == (("category",), LogSource("windows", "registry_event+registry_set", "sysmon"))
    assert told("Security", 4688) == (("service",), LogSource("windows", "process_creation", "security"))
    assert told("unknown", 1) == (("category", "service"), LogSource("windows"))
    near = explainer.near_misses({"Channel": "Security", "EventID": 4688}, LogSource("windows"))
    assert near == []


def test_routes_of_several_files_are_one_table() -> None:
    mine = Route(
        "Windows",
        "channel",
        {"Shop": ["Shop/Audit", 7, "true"]},
        "id",
        {"SHOP": {"Sale": [5]}, "security": {"logon": ["x"]}},
    )
    sources = LogSources([*shipped_log_sources().tables, Table(routes=(mine,))])

    def seen(logsource: str, event: dict[str, Any]) -> bool:
        text = rule_text("sel: {x: null}\ncondition: sel", HEAD.replace("\n  product: test", f" {logsource}"))
        return bool(parse_rules("r.yml", text.encode(), sources=sources).match(event, WINDOWS))

    assert seen("{product: windows, service: shop}", {"channel": "SHOP/audit"})
    assert seen("{service: shop, category: sale}", {"channel": 7, "id": "5"})
    assert seen("{service: shop}", {"channel": True})
    assert seen("{category: logon}", {"Channel": "Security", "id": "X"})
    assert seen("{service: sysmon, category: file_event}", {"Channel": SYSMON, "EventID": 11})
    assert not seen("{category: sale}", {"Channel": "Security", "id": 5})
