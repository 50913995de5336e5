"""Which of SigmaHQ's rules can ever see an event of ours, by log source; what is missing is known, and listed."""

from collections import Counter
from collections.abc import Iterator

import pytest
import yaml
from sigmahq_kit import ARCHIVE, files_of

from socmon.event import LogSource
from socmon.parsers import apache_error, nginx_error, programs, web_access, zeek
from socmon.sigma.logsources import Standing, log_source, shipped_log_sources
from socmon.sigma.routing import NOTHING, Told

# Its folders of active rules; `rules-dfir` holds none.
FOLDERS = ("rules", "rules-threat-hunting", "rules-emerging-threats", "rules-compliance", "rules-placeholder")
# Programs of Linux whose messages come by syslog under their own name: any may, these are what rules ask for.
LINUX = ("sshd", "sudo", "cron", "clamd", "guacd", "vsftpd", "auditd")

# No event of ours, unless a sender states product and service itself, in JSON.
STATED_BY_SENDERS = {
    *("aws", "azure", "bitbucket", "cisco", "django", "fortigate", "fortios", "gcp", "github", "huawei", "juniper"),
    *("jvm", "kubernetes", "m365", "macos", "nodejs", "okta", "onelogin", "opencanary", "paloalto", "python", "qualys"),
    *("rpc_firewall", "ruby_on_rails", "spring", "sql", "velocity"),
}
# Of what is left, what no log of ours tells.
UNSEEN = {
    LogSource("windows", "file_access"): 13,  # a trace of the kernel, no event log
    LogSource("windows", "file_rename"): 2,
    LogSource(None, "database"): 1,
}


def standings() -> Iterator[Standing]:
    """All that events of our parsers can be."""
    sources = shipped_log_sources()
    plain = [web_access.LOGSOURCE, apache_error.LOGSOURCE, nginx_error.LOGSOURCE, programs._FIREWALL]
    plain += [LogSource("linux", None, service) for service in LINUX]
    plain += [LogSource("zeek", zeek._CATEGORIES.get(path), path) for path in {path for path, _ in zeek._SIGNATURES}]
    plain += [LogSource("zeek", None, "smb_files")]
    for event in plain:
        yield sources.standing(event, NOTHING)
    for route in (route for table in sources.tables for route in table.routes):
        for service in {*route.services, *route.categories}:
            for category in ((), *((category,) for category in route.categories.get(service, ()))):
                yield sources.standing(LogSource(route.product), Told((service,), category))


def asked_for() -> Counter[LogSource]:
    """The log sources of SigmaHQ's active rules, each with how many ask for it."""
    asked: Counter[LogSource] = Counter()
    for _, content in files_of(*FOLDERS):
        lines = content.decode().split("\nlogsource:", 1)[1].splitlines()
        end = next((n for n, line in enumerate(lines) if n and line[:1].strip()), len(lines))
        asked[log_source(yaml.load("\n".join(lines[:end]), Loader=yaml.CSafeLoader))] += 1
    return asked


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no {ARCHIVE}; set SOCMON_DATA to the folder of real data")
def test_every_rule_but_the_listed_ones_can_see_an_event() -> None:
    sources, ours = shipped_log_sources(), list(standings())
    asked = asked_for()

    unseen = {rule: n for rule, n in asked.items() if all(sources.differing(rule, standing) for standing in ours)}

    assert sum(asked.values()) == 3780
    by_sender = {rule for rule in unseen if rule.product in STATED_BY_SENDERS}
    assert {rule: n for rule, n in unseen.items() if rule not in by_sender} == UNSEEN
    assert {rule.product for rule in by_sender} == STATED_BY_SENDERS
    assert sum(n for rule, n in asked.items() if rule not in unseen) == 3297
