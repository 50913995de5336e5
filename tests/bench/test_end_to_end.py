"""The journey in small: a real daemon evaluates every event of the file, and other alerts would be noticed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sigma_kit import HEAD, rule_text

from bench.end_to_end import report
from bench.end_to_end.journey import Journey, travelled

EVENTS = 400


@pytest.mark.timeout(180)
@pytest.mark.parametrize("workers", [0, 2])
def test_every_event_of_a_file_is_evaluated_and_what_matches_is_stored(tmp_path: Path, workers: int) -> None:
    lines = [
        {"EventID": 1, "Channel": "Security", "Computer": f"pc{number % 4}", "TimeCreated": "2026-11-23T03:00:00Z"}
        | {"CommandLine": "whoami" if number % 4 == 0 else "dir", "Number": number}
        for number in range(EVENTS)
    ]
    (tmp_path / "lines").write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    (tmp_path / "rules").mkdir()
    text = rule_text("sel: {CommandLine: whoami}\ncondition: sel", HEAD.replace("product: test", "product: windows"))
    (tmp_path / "rules" / "rule.yml").write_text(text, "utf-8")

    found = travelled(tmp_path / "lines", EVENTS, tmp_path / "rules", workers, tmp_path / "work")

    assert (found.evaluated, found.unparsed, found.workers) == (EVENTS, 0, workers)
    assert [(group, count) for _, group, _, _, count in found.alerts] == [('{"host": "pc0"}', EVENTS // 4)]
    assert found.took_s > 0 < found.main_cpu_s
    assert report.Found(1, [found]).problems == []


GOOD = Journey(
    workers=0,
    events=1000,
    evaluated=990,
    unparsed=10,
    took_s=2.0,
    main_cpu_s=0.5,
    workers_cpu_s=0.0,
    alerts=(("a", "{}", 1, 2, 3),),
)


def test_what_is_not_as_required_is_named() -> None:
    two = replace(GOOD, workers=2, main_cpu_s=0.1, workers_cpu_s=0.9)
    found = report.Found(9, [GOOD, two])

    assert found.problems == []
    assert replace(found, journeys=[GOOD, replace(two, alerts=())]).problems == [
        "journey 2, 2 workers: other alerts than journey 1"
    ]
    assert replace(found, journeys=[replace(GOOD, unparsed=0)]).problems == ["journey 1: 990 of 1,000 events evaluated"]


def test_the_page_names_the_share_of_the_main_process() -> None:
    page = report.as_markdown(report.Found(9, [GOOD, replace(GOOD, workers=2, main_cpu_s=0.1, workers_cpu_s=0.9)]))

    assert "| 0 | 500 | 500 | 500 | 500.0 | 0.0 | 100% |" in page
    assert "| 2 | 500 | 500 | 500 | 100.0 | 900.0 | 10% |" in page
