"""A source's format is told from its first bytes: never another one, and kept once it is settled."""

import asyncio
import json
import lzma
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal.fakefiles import FakeFiles

from socmon.errors import ParseError
from socmon.event import Record, Source
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.parsers import FORMATS, detect, parse
from socmon.sections import IntakeSettings, JournalSettings

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[2] / "../shared/data")) / "logs" / "logs"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here; set SOCMON_DATA")

SAMPLES = {
    "rfc3164": [
        b"Nov 23 10:00:02 web01 sshd[812]: Connection closed by 192.0.2.7 port 4",
        b'<34>Nov  3 10:00:02 web01 nginx: 192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5',
        b"2026-11-23T10:00:02+07:00 web01 httpd[1]: [core:error] [pid 1] [client 192.0.2.7:5] AH00128: x",
        b'Nov 23 10:00:02 web01 app: {"a": 1}',
    ],
    "zeek": [
        b'{"_path":"conn","ts":1795402800.5,"uid":"C1","id.orig_h":"192.0.2.1","id.orig_p":4,"proto":"tcp"}',
        b'{"ts":1795402800.5,"uid":"C1","id.orig_h":"192.0.2.1","proto":"udp","trans_id":7,"query":"www.example.com"}',
    ],
    "windows_json": [
        b'{"EventID":4625,"Channel":"Security","Computer":"dc1","TargetUserName":"hoa"}',
        b'{"Event":{"System":{"EventID":"1","Provider":{"#attributes":{"Name":"x"}},"Computer":"dc1"}}}',
    ],
    "json": [b'{"time":"2026-11-23T10:00:02Z","message":"x"}', b' { "a": [1] }', b"{}"],
    "web_access": [
        b'192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5 "-" "curl"',
        b'2001:db8::7 - hoa [23/Nov/2026:10:00:03 +0700] "" 400 0',
        b'www.example.com:443 192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5',
        b'"192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5"',
    ],
    "nginx_error": [
        b"2026/11/23 10:00:02 [error] 28#28: *6 access forbidden by rule, client: 192.0.2.7, server: x",
        b"web01 nginx[28]: 2026/11/23 10:00:02 [notice] 28#28: start worker process 5",
    ],
    "apache_error": [
        b"[Mon Nov 23 10:00:02 2026] [error] [client 192.0.2.7] File does not exist: /srv/x",
        b"[Mon Nov 23 10:00:02.453232 2026] [mpm_event:notice] [pid 1:tid 2] AH00489: configured",
    ],
}  # fmt: skip
ALSO = {"zeek": {"json"}, "windows_json": {"json"}}  # which is tried after them


@pytest.mark.parametrize(("name", "sample"), [(name, line) for name, lines in SAMPLES.items() for line in lines])
def test_a_line_fits_its_format_and_no_other(name: str, sample: bytes) -> None:
    found = {other for other, parser in FORMATS.items() if other in SAMPLES and parser.fits(sample)}

    assert found == {name} | ALSO.get(name, set())
    assert detect([sample]) == name


def rows(name: str) -> Iterator[dict[str, str]]:
    path = DATA / name
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def fitting(line: str) -> set[str]:
    return {name for name, parser in FORMATS.items() if name in SAMPLES and parser.fits(line.encode())}


@needs_data
@pytest.mark.parametrize("path", sorted((DATA / "raw").glob("*")), ids=lambda path: path.name)
def test_real_logs_are_of_one_format_and_every_line_of_web_servers_is_read(path: Path) -> None:
    expected = {"apache": "web_access", "auth": "rfc3164", "nginxplus": "json"}[path.name.partition("_")[0]]
    with lzma.open(path) as log:
        lines = log.read().splitlines()

    assert detect(lines[:20]) == expected
    for line in lines:
        assert fitting(line.decode("utf-8", "backslashreplace")) == {expected}
        if expected != "rfc3164":
            FORMATS[expected].parse(Record(line, Source("a", "b"), 0), year=None, undated=False)


@needs_data
def test_lines_of_many_services_fit_their_format_and_no_other() -> None:
    for row in rows("fail2ban.jsonl"):
        kind, found = row["file"].partition("-")[0], fitting(row["line"])
        assert len(found) <= 1
        if kind == "apache":
            assert found <= {"apache_error", "web_access", "rfc3164"}
            assert found
        elif kind == "nginx":
            assert found <= {"nginx_error", "web_access"}
            assert found
        elif kind in ("sshd", "postfix", "dovecot"):
            assert found <= {"rfc3164"}
    for row in rows("syslog_cases.jsonl"):
        assert fitting(row["input"]) <= {"rfc3164"}
    for row in rows("loghub.jsonl.xz"):
        allowed = {"Apache": {"apache_error"}, "Linux": {"rfc3164"}, "OpenSSH": {"rfc3164"}, "Mac": {"rfc3164"}}
        assert fitting(row["line"]) <= allowed.get(row["dataset"], {"rfc3164"})


@needs_data
def test_addresses_of_web_servers_logs_are_those_that_fail2ban_bans() -> None:
    seen = 0
    for row in rows("fail2ban.jsonl"):
        expected: dict[str, str] = row["expected"]  # type: ignore[assignment]  # an object among texts
        if not row["file"].startswith(("apache", "nginx", "php-url")) or not expected.get("host"):
            continue
        for name in fitting(row["line"]) - {"rfc3164"}:
            record = Record(row["line"].encode(), Source("a", "b"), 0)
            fields = FORMATS[name].parse(record, year=None, undated=False).fields
            assert expected["host"] in (fields.get("src_ip"), fields.get("c-ip"))
            assert fields.get("outcome") == "failure" or fields.get("action") or "c-ip" in fields
            seen += 1

    assert seen > 80


async def handed_in(files: FakeFiles, data: bytes, *, format_: str = "auto") -> Source:
    """The source of a record in the journal, after a start over what is in it."""
    journal = Journal.open(Path("journal"), files=files, segment_bytes=64 * 1024)
    intake = Intake(journal, IntakeSettings(), JournalSettings.model_validate({"fsync": "batch"}))
    tasks = [asyncio.create_task(intake.run()), asyncio.create_task(intake.sync())]
    await asyncio.wait_for(intake.emit([Record(data, Source("web", "/log", format_), time.time_ns() // 1000)]), 30)
    intake.close()
    await asyncio.wait_for(tasks[0], 30)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    intake.shutdown()
    source = [record.source for batch in journal.read_after(0) for record in batch.records][-1]
    journal.close()
    return source


async def test_a_settled_format_outlives_a_restart_and_a_change_of_the_log() -> None:
    files = FakeFiles()
    first = await handed_in(files, b"what nobody knows")
    settled = await handed_in(files, SAMPLES["web_access"][0])
    kept = await handed_in(files, SAMPLES["json"][0])
    assert (first.format, settled.format, settled.chosen) == ("auto", "web_access", "detected")
    assert (kept.format, kept.chosen) == ("web_access", "detected")

    chosen = await handed_in(files, SAMPLES["json"][0], format_="json")

    assert (chosen.format, chosen.chosen) == ("json", "setting")


MIXED = [
    ("rfc5424", b"<38>Nov 23 10:00:02 web01 sshd[812]: Failed password for root from 192.0.2.7 port 4 ssh2"),
    ("rfc3164", b"<38>1 2026-11-23T10:00:02Z web01 sshd 812 - - Failed password for root from 192.0.2.7 port 4 ssh2"),
    ("json", b"Nov 23 10:00:02 web01 sshd[812]: Failed password for root from 192.0.2.7 port 4 ssh2"),
]


@pytest.mark.parametrize(("settled", "line"), MIXED)
def test_a_line_in_another_format_than_the_source_began_with_is_read_all_the_same(settled: str, line: bytes) -> None:
    event = parse(Record(line, Source("c", "192.0.2.1", format=settled, chosen="detected"), 1_795_000_000_000_000))

    assert (event.host, event.fields["src_ip"], event.fields["outcome"]) == ("web01", "192.0.2.7", "failure")


@pytest.mark.parametrize(("settled", "line"), MIXED)
def test_a_format_that_was_set_is_the_only_one(settled: str, line: bytes) -> None:
    with pytest.raises(ParseError):
        parse(Record(line, Source("c", "192.0.2.1", format=settled), 1_795_000_000_000_000))


def test_text_that_begins_as_no_format_does_stays_unparsed() -> None:
    record = Record(b"kernel: text without a time", Source("c", "p", format="json", chosen="detected"), 1)

    with pytest.raises(ParseError, match="JSON"):
        parse(record)
