"""docs/fields.md names every action and field that the readers of syslog messages give, and no other action."""

import json
import re
from pathlib import Path

from socmon.parsers import accounts, cron, dovecot, netfilter, pam, postfix, sshd, systemd
from socmon.parsers.forms import Forms

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fields.md").read_text("utf-8")
SAMPLES = [
    json.loads(line)
    for path in (ROOT / "tests" / "parsers" / "samples").glob("*.jsonl")
    for line in path.read_text("utf-8").splitlines()
]
COMMON = {"message", "program", "pid", "facility", "severity"}
MODULES = (accounts, cron, dovecot, netfilter, pam, postfix, sshd, systemd)


def actions_of_the_page() -> set[str]:
    rows = [line.split(" | ")[-1] for line in PAGE.splitlines() if line.startswith("| ") and "`action`" not in line]
    return set(re.findall(r"`([a-z_]+)`", " ".join(rows)))


def actions_of_the_tables() -> set[str]:
    tables = [value for module in MODULES for value in vars(module).values() if isinstance(value, Forms)]
    return {action for table in tables for action in table.actions}


def test_every_action_of_the_tables_is_on_the_page() -> None:
    assert actions_of_the_tables() - actions_of_the_page() == set()


def test_every_action_of_the_page_can_come() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "socmon" / "parsers").glob("*.py"))

    assert {action for action in actions_of_the_page() if not re.search(rf"\b{action}\b", sources)} == set()


def test_every_field_of_a_sample_is_on_the_page() -> None:
    ours = [sample for sample in SAMPLES if sample.get("format") != "windows_json"]  # those of Windows are its own
    fields = {name for sample in ours for name, value in sample["fields"].items() if value is not None}

    assert {name for name in fields - COMMON if f"`{name}`" not in PAGE and "." not in name} == set()
