"""`make conformance`: socmon against what others say of the same data; with --write, docs/conformance.md too.

The data are looked for below SOCMON_DATA (default: ../shared/data), which may be any folder of the same layout.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.conformance import classes, logs, network, web, windows, windows_correlation
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- written by make conformance -->", "<!-- end -->"


def data_folder() -> Path:
    """Where the oracles lie."""
    return Path(os.environ.get("SOCMON_DATA") or ROOT / "../shared/data")


def share(part: int, whole: int) -> str:
    """`12/13 92.3 %`; `-` of nothing."""
    return f"{part}/{whole} {100 * part / whole:.1f} %" if whole else "-"


def score_rows(scores: Mapping[str, logs.Score]) -> Iterator[tuple[str, ...]]:
    """A row a service, then all, then what always saying yes would score."""
    yield "service", "lines", "host agreement", "recall", "specificity"
    for name in (*logs.SERVICES, "all"):
        if score := scores.get(name):
            yield (
                name,
                str(score.rows),
                share(score.hosts_agree, score.hosts),
                share(score.recalled, score.positive),
                share(score.passed, score.negative),
            )
    if total := scores.get("all"):
        always = (share(total.positive, total.positive), share(0, total.negative))
        yield ("always match", str(total.rows), share(0, total.hosts), *always)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def difference_rows(found: Mapping[str, Sequence[logs.Row]]) -> Iterator[tuple[str, ...]]:
    """A row a class, with the place of each of its differences."""
    reasons = {each.name: each.reason for each in classes.CLASSES}
    yield "class", "missed", "extra", "host", "where", "why"
    for name, rows in found.items():
        missed = sum(row.differs and row.expected for row in rows)
        extra = sum(row.differs and not row.expected for row in rows)
        hosts = sum(row.host_differs for row in rows)
        places = ", ".join(row.place for row in rows)
        yield name, str(missed), str(extra), str(hosts), places, reasons.get(name, "")


def report(judged: Sequence[logs.Row]) -> str:
    """The generated part of the page."""
    found = classes.classified(judged)
    doubtful = classes.both_ways(judged)
    return "\n".join(
        [
            markdown([*score_rows(logs.scores(judged))]),
            "",
            f"Of the differences, {doubtful} are of lines that the oracle judges both ways, by its modes.",
            "",
            markdown([*difference_rows(found)]),
        ]
    )


def web_report(found: Sequence[web.Told]) -> str:
    """The generated part of the page about whole web logs."""
    head = ("log", "lines", "unparsed", "lines that a rule matches", "alerts")
    rows = [
        (
            each.name,
            str(each.lines),
            str(each.unparsed),
            str(each.matches),
            ", ".join(f"{count}× {title}" for title, count in each.alerts.items()) or "none",
        )
        for each in found
    ]
    return markdown([head, *rows])


def network_report(scores: Mapping[str, network.Score]) -> str:
    """The generated part of the page about captures."""
    return "\n".join([markdown([*network.rows(scores)]), "", markdown([*network.difference_rows(scores)])])


def captures_report(data: Path) -> str:
    """The same of all captures; of none where there are none."""
    if not (data / network.FOLDER).is_dir():
        return ""
    return network_report(network.scored(data, network.cases(data)))


def windows_report(scores: Mapping[str, windows.Score], rules: RuleSet, silent: tuple[int, Sequence[str]]) -> str:
    """The generated part of the page about Windows events."""
    cases, few = silent
    fired = f"SigmaHQ's regression cases that match as often as they must, or more: {share(cases - len(few), cases)}"
    parts = markdown([*windows.rows(scores)]), markdown([*windows.difference_rows(scores, rules)])
    return "\n\n".join((parts[0], windows.limits(scores), parts[1], ": ".join([fired, *few])))


def windows_reports(data: Path) -> tuple[str, str, bool]:
    """The parts about Windows events, and about correlations of them; empty where there are none.

    And whether all is explained there, and no regression case silent.
    """
    if not (data / windows.ARCHIVE).is_file() or not (data / windows.FOLDER).is_dir():
        return "", "", True
    rules = windows.active_rules(data)
    scores, silent = windows.scored(data, rules), windows.silent(data, rules)
    matrix, explained = windows_report(scores, rules, silent), windows.is_explained(scores) and not silent[1]
    if not (data / windows_correlation.ORACLE).is_file():
        return matrix, "", explained
    correlated = windows_correlation.scored(data)
    return matrix, markdown([*windows_correlation.rows(correlated)]), explained and correlated.is_explained


def main() -> int:
    """Print the scores; 1 where there is nothing to score by, or a difference on Windows events has no class."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="write docs/conformance.md too")
    arguments = options.parse_args()
    data = data_folder()
    if not (data / logs.ORACLE).is_file():
        print(f"{data / logs.ORACLE} is not here; set SOCMON_DATA to the folder that holds it", file=sys.stderr)
        return 1
    rules = load_rules([shipped("rules")])
    lines, web_logs = report(list(logs.rows(data, rules))), web_report(list(web.told(data, rules)))
    print(f"log lines of {', '.join(logs.SERVICES)}: {data / logs.ORACLE}\n\n{lines}")
    print(f"\nweb logs: {data / web.FOLDER}\n\n{web_logs}")
    captures = captures_report(data)
    print(f"\ncaptures: {data / network.FOLDER}\n\n{captures or 'none here'}")
    matrix, correlated, explained = windows_reports(data)
    print(f"\nWindows events: {data / windows.FOLDER}\n\n{matrix or 'none here'}\n\n{correlated}")
    if arguments.write:
        parts = PAGE.read_text("utf-8").split(BEGIN)
        texts = (
            f"{BEGIN}\n\n{text}\n\n{END}{part.partition(END)[2]}"
            for text, part in zip((lines, web_logs, captures, matrix, correlated), parts[1:], strict=True)
        )
        PAGE.write_text(parts[0] + "".join(texts), "utf-8")
    return 0 if explained else 1


if __name__ == "__main__":
    sys.exit(main())
