"""What socmon says of a log, compared with the truth; and mutations that must make the comparison fail."""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.ssh_bruteforce import children
from bench.ssh_bruteforce.truth import Opening

TITLE = "SSH brute force"
SHIPPED_RULE = Path(__file__).parents[2] / "rules" / "linux" / "ssh_brute_force.yml"
SHOWN = 8

_REPEATED = re.compile(r"message repeated \d+ times: \[ (.*)\]$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Alert:
    """What an alert says, whichever way it came: replayed or through the daemon."""

    rule: str
    address: str
    first: str
    last: str
    count: int


def replay_command(log: Path, rules: Path | None = None) -> list[str]:
    chosen = [] if rules is None else ["--rules", str(rules)]
    return [sys.executable, "-m", "socmon", "replay", str(log), "-o", "ndjson", *chosen]


def replay(log: Path, output: Path, *, rules: Path | None = None) -> list[Alert]:
    """The SSH brute force alerts of `socmon replay`; what it printed is kept in `output`."""
    children.run(replay_command(log, rules), output)
    with output.open(encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    return [
        Alert(one["rule_id"], one["group"]["src_ip"], one["first_seen"], one["last_seen"], one["count"])
        for one in said
        if one["title"] == TITLE
    ]


@dataclass(frozen=True)
class Difference:
    """Where alerts and truth part.

    Attributes:
        missed: offenders without an alert.
        invented: addresses with an alert that are no offenders.
        misdated: offenders whose first alert does not begin with the first window that held too much.
    """

    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    misdated: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missed or self.invented or self.misdated)

    def __str__(self) -> str:
        return "; ".join(
            f"{name} {len(addresses)}" + (f" ({_cut(addresses)})" if addresses else "")
            for name, addresses in vars(self).items()
        )


def _cut(addresses: list[str]) -> str:
    return ", ".join(addresses[:SHOWN]) + (", …" if len(addresses) > SHOWN else "")


def differences(truth: Mapping[str, Opening], alerts: Iterable[Alert]) -> Difference:
    first: dict[str, str] = {}
    for alert in alerts:
        first[alert.address] = min(alert.first, first.get(alert.address, alert.first))
    return Difference(
        missed=[address for address in truth if address not in first],
        invented=[address for address in first if address not in truth],
        misdated=[address for address in truth if first.get(address, truth[address].since) != truth[address].since],
    )


def _changed_rule(directory: Path, change: Mapping[str, object]) -> Path:
    """A copy of the shipped rule whose correlation is changed, alone in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = list(yaml.safe_load_all(SHIPPED_RULE.read_text(encoding="utf-8")))
    for document in documents:
        if "correlation" in document:
            document["correlation"].update(change)
    (directory / SHIPPED_RULE.name).write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return directory


def _unrepeated(log: Path, copy: Path) -> Path:
    """A copy of `log`, as old as it, in which every repeated message stands once and does not say so."""
    copy.write_text(_REPEATED.sub(r"\1", log.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copystat(log, copy)
    return copy


def mutations(log: Path, truth: Mapping[str, Opening], work: Path) -> dict[str, Difference]:
    """{what was broken: what the comparison then says}; one that says nothing shows that the check cannot fail."""
    four = _changed_rule(work / "at_least_4", {"condition": {"gte": 4}})
    shorter = _changed_rule(work / "within_59_s", {"timespan": "59s"})
    once = _unrepeated(log, work / "unrepeated.log")
    return {
        "the rule asks for 4 instead of 5": differences(truth, replay(log, work / "four.ndjson", rules=four)),
        "the rule's window is 59 s instead of 60": differences(truth, replay(log, work / "59.ndjson", rules=shorter)),
        "repeated messages count once": differences(truth, replay(once, work / "once.ndjson")),
    }
