"""The benchmark of the engine in small: identical matches, and a wrong answer or a slow one is noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sigma_kit import loaded, rule_text

from bench.engine import inputs, report
from bench.engine.hostile import Spoiler
from bench.engine.passes import Lines, differing, raced

SYSMON = "Microsoft-Windows-Sysmon/Operational"
HEAD = "title: {title}\nid: {number:08}-7a67-4e0a-9d5c-0f2d7c1f3a11\nlogsource: {source}\ndetection:\n"
STARTS, ANY = "{product: windows, category: process_creation}", "{product: windows}"
RULES = loaded(
    "\n---\n".join(
        rule_text(f"sel: {{{line}}}\ncondition: sel", HEAD.format(title=f"rule {number}", number=number, source=source))
        for number, (source, line) in enumerate(
            [
                (STARTS, r"Image|endswith: '\cmd.exe', User|contains: system"),
                (STARTS, "CommandLine|contains: 'whoami'"),
                (STARTS, "ParentImage|endswith: word.exe"),
                (ANY, "EventID: 3"),
            ]
        )
    )
)


def event(number: int, **more: Any) -> bytes:
    image = r"C:\Windows\cmd.exe" if number % 3 else r"C:\Windows\net.exe"
    fields = {"EventID": 1 if number % 5 else 3, "Channel": SYSMON, "Computer": "pc", "Image": image, "Zz": "z"}
    fields |= {"User": r"NT AUTHORITY\SYSTEM", "CommandLine": f"cmd {number} whoami", "ParentImage": r"C:\word.exe"}
    return json.dumps(fields | more).encode()


def test_a_small_race_has_identical_matches_and_a_whole_report() -> None:
    events = [event(number) for number in range(80)]
    lines = Lines(events[:30], events[30:60], list(Spoiler(RULES).spoiled(events[60:])), naive=10)

    rounds = [raced(RULES, lines) for _ in range(2)]
    found = report.Found(len(RULES.rules), lines, rounds)

    assert found.differences == []
    assert all(answer.pairs > 10 for answer in rounds[0].answers.values())
    told = report.as_json(found)
    assert set(told["events_per_cpu_second"]) == set(report.LABELS) == set(rounds[0].rates)
    assert told["events_of_naive"] == {"warm": 10, "unseen": 10, "hostile": 10}
    page = report.as_markdown(found)
    assert report.NO_WORKERS in page
    assert report.NO_WORKERS not in report.as_markdown(replace(found, workers=[1.9]))
    assert page.count("| reached |") + page.count("NOT REACHED") == len(report.DEMANDED)
    assert "all the same" in page


def test_another_answer_is_a_difference() -> None:
    ours = [(0, ("a",)), (2, ("a", "b"))]

    assert differing(ours, [(0, ("a",)), (1, ("a", "b"))], range(0, 4, 2)) == []
    assert differing(ours, [(0, ("a",)), (1, ("b",))], range(0, 4, 2)) == [
        "line 2: only the first ['a'], only the other []"
    ]
    assert differing(ours, [(1, ("a", "b"))], range(0, 4, 2)) == ["line 0: only the first ['a'], only the other []"]
    assert len(differing([(place, ("a",)) for place in range(40)], [], range(40))) == 11


def test_what_is_not_reached_or_differs_is_named() -> None:
    lines = Lines([event(1)], [event(1)], [event(1)], naive=1)
    one = raced(RULES, lines)
    good = dict.fromkeys(report.LABELS, 1000.0) | {"warm": 1e6, "unseen": 1e6, "hostile": 1e6}
    found = report.Found(4, lines, [replace(one, rates=good)] * 3)

    assert found.problems == []
    slow = replace(one, rates=good | {"unseen": 79_000.0})
    assert replace(found, rounds=[slow] * 3).problems == ["NOT REACHED: ours, unseen / naive, unseen is 79, not 80"]
    assert replace(found, rounds=[*found.rounds, slow]).problems == []  # the median counts
    other = replace(one, rates=good, answers={})
    assert replace(found, rounds=[*found.rounds, other]).problems == [
        "DIFFERENT: round 4 has other answers than round 1"
    ]
    assert replace(found, workers_agree=False).problems == ["DIFFERENT: one worker and two have other answers"]
    assert "NOT REACHED: 2 workers / 1 worker is 1.7, not 1.8" in replace(found, workers=[1.6, 1.7, 1.9]).problems


def test_hostile_events_hold_in_four_fields_that_rules_read_what_no_other_holds() -> None:
    plain = [event(1, CommandLine="cmd whoami") for _ in range(20)]
    spoiled = [json.loads(line) for line in Spoiler(RULES).spoiled(plain)]

    for name in ("Image", "User", "CommandLine", "ParentImage"):
        assert len({one[name] for one in spoiled}) == len(spoiled)
    for name in ("EventID", "Channel", "Computer", "Zz"):
        assert len({one[name] for one in spoiled}) == 1
    assert all(one["Image"].endswith(r"\cmd.exe") for one in spoiled)


def test_events_are_chosen_evenly_and_no_line_twice(tmp_path: Path) -> None:
    path = tmp_path / inputs.EVENTS_FILE
    path.write_bytes(b"".join(b"%d\n" % (number // 2) for number in range(1000)))  # each line stands there twice

    found = inputs.chosen(path, 40, 10)

    lists = (found.first, found.unseen, found.other)
    assert [len(each) for each in lists] == [40, 40, 10]
    assert len({*found.first, *found.unseen, *found.other}) == 90
    for each in lists:
        numbers = [int(line) for line in each]
        assert numbers == sorted(numbers)
        assert numbers[0] < 50
        assert numbers[-1] >= 450
    assert inputs.chosen(path, 40, 10) == found
