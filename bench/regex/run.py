"""The slowest text of 64 KB for each regular expression of all rules, and the slowest event through all rules.

    .venv/bin/python -m bench.regex.run [--every 1]

All rules of SigmaHQ and the shipped ones. Results are written when all expressions were looked at.
"""

import argparse

from bench.engine.inputs import all_rules
from bench.regex import report
from bench.regex.slowest import expressions, slowest, through_all_rules


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--every", type=int, default=1, help="look at every so many-th expression only")
    asked = options.parse_args()
    rules = all_rules(with_shipped=True)
    each = list(expressions(rules).items())[:: asked.every]
    found = sorted((slowest(*key, count) for key, count in each), key=lambda one: -one.ms)
    told = report.Found(len(rules.rules), found, through_all_rules(rules, (one.text for one in found)))
    print(report.as_markdown(told))
    if asked.every == 1:
        report.write(told)


if __name__ == "__main__":
    main()
