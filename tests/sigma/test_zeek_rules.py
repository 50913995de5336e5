"""Community rules for Zeek match what the parser makes of Zeek's lines; those for DNS and proxies too.

The lines of `zeek_events.jsonl` are ours. Rules of our own in the same forms take the community's place where these are
not here.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigmahq_kit import ARCHIVE, files_of

from socmon.event import Event, Record, Source
from socmon.parsers import parse
from socmon.sigma import RuleSet
from socmon.sigma.loading import Loader
from socmon.sigma.logsources import shipped_log_sources

HERE = Path(__file__).parent
needs_archive = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no {ARCHIVE}; set SOCMON_DATA")
ROWS = [json.loads(line) for line in (HERE / "zeek_events.jsonl").read_text("utf-8").splitlines()]
OWN = [row for row in ROWS if row["rule"].startswith("own: ")]
THEIRS = [row for row in ROWS if row not in OWN]
ACTIVE = ("rules", "rules-threat-hunting", "rules-emerging-threats", "rules-compliance", "rules-placeholder")


def event(keys: dict[str, Any]) -> Event:
    """Of a line with these keys, as a source whose format is to be found out gets it."""
    return parse(Record(json.dumps(keys).encode(), Source("zeek", "/opt/zeek/logs/current/x.log", "auto"), 0))


def matching(rules: RuleSet, keys: dict[str, Any]) -> set[str]:
    found = event(keys)
    return {name_of(rules, rule_id) for rule_id in rules.match(found.fields, found.logsource)}


def name_of(rules: RuleSet, rule_id: str) -> str:
    rule = rules.by_id[rule_id]
    return rule.title if rule.title.startswith("own: ") else Path(rule.path).stem


def test_rules_of_the_communitys_forms_match_and_only_what_they_should() -> None:
    loader = Loader(shipped_log_sources())
    loader.add("zeek_rules.yml", (HERE / "zeek_rules.yml").read_bytes())
    rules = RuleSet(loader.finish(), loader.errors, loader.conditions, shipped_log_sources())
    assert rules.errors == []

    assert {row["rule"] for row in OWN} == {rule.title for rule in rules.rules}
    for row in OWN:
        assert row["rule"] in matching(rules, row["hit"])
        assert row["rule"] not in matching(rules, row["miss"])


@cache
def community() -> tuple[RuleSet, dict[str, dict[str, Any]]]:
    """Its active rules that may look at events of Zeek; and by file name what each says."""
    loader, stated = Loader(shipped_log_sources()), {}
    for path, content in files_of(*ACTIVE):
        if not any(word in content for word in (b"zeek", b"category: dns", b"category: proxy")):
            continue
        rule = yaml.load(content, Loader=yaml.CSafeLoader)
        source = rule.get("logsource", {})
        if source.get("product") == "zeek" or (source.get("category") in {"dns", "proxy"} and "product" not in source):
            loader.add(path, content)
            stated[Path(path).stem] = rule
    return RuleSet(loader.finish(), loader.errors, loader.conditions, shipped_log_sources()), stated


@needs_archive
def test_every_community_rule_for_zeek_matches_the_line_that_it_is_made_for_and_not_the_one_beside_it() -> None:
    rules, stated = community()
    of_zeek = {name for name, rule in stated.items() if rule["logsource"].get("product") == "zeek"}
    assert rules.errors == [], "every modifier that these rules use works"
    assert len(of_zeek) >= 23

    assert {row["rule"] for row in THEIRS} >= of_zeek
    for row in THEIRS:
        assert row["rule"] in matching(rules, row["hit"]), row
        assert row["rule"] not in matching(rules, row["miss"]), row


_ESCAPED = re.compile(r"\\([*?\\])|[*?]")  # as in Sigma; a wildcard stands for anything
# The names that rules have for what a proxy logs → those of Zeek's http log.
NAMES = {
    **dict.fromkeys(("c-uri", "cs-uri", "cs-uri-stem", "c-uri-query"), "uri"),
    "c-useragent": "user_agent",
    "cs-host": "host",
    "cs-method": "method",
    "sc-status": "status_code",
    "record_type": "qtype_name",
    "answer": "answers",
    "dst_ip": "id.resp_h",
}
# What no line of Zeek can fulfil.
UNMATCHED = {
    "proxy_susp_ipfs_cred_harvest": "it looks for the host in the URI, which Zeek logs apart",
    "proxy_eviltokens_cloudflare_worker_request": "it looks for the host in the URI, which Zeek logs apart",
}


def made_for(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Keys that the selections of a rule ask for: of all, or of one alone."""
    wanted = [keys for name, keys in rule["detection"].items() if name != "condition" and not _excludes(name)]
    every: dict[str, Any] = {}
    for keys in wanted:
        for each in _alternatives(keys):
            yield _named(each)
        every |= _alternatives(keys)[0]
    yield _named(every)


def _excludes(name: str) -> bool:
    return name.startswith(("filter", "exclude", "falsepositive", "fp"))


def _alternatives(keys: Any) -> list[dict[str, Any]]:
    return [each for each in (keys if isinstance(keys, list) else [keys]) if isinstance(each, dict)] or [{}]


def _named(keys: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in keys.items():
        name, *modifiers = key.split("|")
        listed = value if isinstance(value, list) else [value]
        text = "".join(map(str, listed)) if "all" in modifiers else listed[0]
        if isinstance(text, str):
            text = _ESCAPED.sub(lambda found: found[1] or "x", text)
        if "cidr" in modifiers:
            text = str(text).partition("/")[0]
        name = NAMES.get(name, name)
        found[name] = text if name not in found else _both(found[name], text, modifiers)
    return found


def _both(first: Any, second: Any, modifiers: list[str]) -> str:
    return f"{second}{first}" if "startswith" in modifiers else f"{first}{second}"


@needs_archive
def test_community_rules_for_dns_and_proxies_match_what_zeek_logs() -> None:
    rules, stated = community()
    unmatched = set()
    generic = {name: rule for name, rule in stated.items() if "product" not in rule["logsource"]}
    ours = {row["rule"]: row["hit"] for row in THEIRS}
    for name, rule in generic.items():
        path = {"dns": "dns", "proxy": "http"}[rule["logsource"]["category"]]
        head = {"_path": path, "ts": 1795402800.5, "uid": "C1", "id.orig_h": "192.0.2.1", "id.resp_h": "198.51.100.7"}
        lines = [ours[name]] if name in ours else [head | keys for keys in made_for(rule)]
        if not any(name in matching(rules, line) for line in lines):
            unmatched.add(name)

    assert len(generic) > 60
    assert unmatched == UNMATCHED.keys()
