"""Tables of log sources of the operator's own: added to the shipped one, and every mistake told with its place."""

from pathlib import Path

import pytest
from sigma_kit import HEAD, rule_text

from socmon.event import LogSource
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.sigma.logsource_files import load_log_sources
from socmon.sigma.logsources import FILE_NAME, LogSources, shipped_table
from socmon.sigma.routing import NOTHING

TABLE = """\
covers:
  - {product: Linux, service: AUTH, services: [Keycloak]}
routes:
  - product: windows
    service_by: Channel
    services: {shop: [Shop/Audit]}
    category_by: EventID
    categories:
      security: {network_connection: [5156]}
aliases:
  - product: windows
    category: network_connection
    fields:
      DestinationIp: [DestAddress]
"""


def loaded(folder: Path, text: str) -> tuple[LogSources, list[str]]:
    file = folder / "t.yml"
    file.write_text(text)
    sources, problems = load_log_sources([file])
    return sources, [problem.removeprefix(f"{file}:") for problem in problems]


def test_a_table_adds_to_the_shipped_one(tmp_path: Path) -> None:
    sources, problems = loaded(tmp_path, TABLE)
    rule = tmp_path / "rule.yml"
    detection = "sel: {DestinationIp: 192.0.2.7}\ncondition: sel"
    asked = " {product: windows, category: network_connection, service: security}"
    rule.write_text(rule_text(detection, HEAD.replace("\n  product: test", asked)))
    event = {"Channel": "security", "EventID": "5156", "DestAddress": "192.0.2.7"}

    assert problems == []
    assert load_rules([rule], sources=sources).match(event, {"product": "windows"})
    assert load_rules([rule]).match(event, {"product": "windows"}) == ()
    assert sources.standing(LogSource("linux", None, "keycloak"), NOTHING).service == {"keycloak", "auth", "syslog"}


def test_the_shipped_table_is_of_the_form_that_it_explains() -> None:
    sources, problems = load_log_sources([shipped("rules") / FILE_NAME])

    assert problems == []
    assert sources.tables == (shipped_table(), shipped_table())


def test_no_file_at_all_is_the_shipped_table() -> None:
    sources, problems = load_log_sources([])

    assert (sources.tables, problems) == ((shipped_table(),), [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "1: not a table of log sources, which has covers, routes, aliases"),
        ("x: []", "1: 'x' is unknown; known: covers, routes, aliases"),
        ("\nroute: []", "2: 'route' is unknown; did you mean 'routes'?"),
        ("routes: {}", "1: routes must be a list of entries, not {}"),
        (
            "routes:\n- 7",
            "2: routes: an entry has keys such as product, service_by, services, category_by, categories, not 7",
        ),
        ("routes:\n- product: 7", "2: routes: 7 must be text"),
        (
            "routes:\n- product: w\n  servces: {}",
            "3: routes: 'servces' is unknown; did you mean 'services'?",
        ),
        ("routes:\n- service_by: C\n  services: {a: [b]}", "2: routes: product is missing"),
        ("routes:\n- product: w", "2: routes: a route needs services with service_by, or categories with category_by"),
        ("routes:\n- product: w\n  service_by: C", "3: routes: service_by is of no use without services"),
        (
            "routes:\n- product: w\n  services: {a: [b]}",
            "3: routes: services need service_by, the field whose value tells them",
        ),
        (
            "routes:\n- product: w\n  category_by: I\n  categories:\n    a:\n      b: [1, true]",
            "6: routes: True must be text or a whole number",
        ),
        (
            "routes:\n- product: w\n  category_by: I\n  categories:\n    a:\n      b: 1",
            "6: routes: 1 must be a list with an entry at least, as [1]",
        ),
        (
            "routes:\n- product: w\n  category_by: I\n  categories:\n    a: [1]",
            "5: routes: [1] must have names, each with what belongs to it",
        ),
        ("covers:\n- product: l\n  services: [b]", "2: covers: service is missing"),
        ("covers:\n- {product: l, service: s, exept: [x], services: ['*']}", "did you mean 'except'?"),
        ("aliases:\n- fields: {A: []}", "2: aliases: [] must be a list with an entry at least, as [[]]"),
        ("aliases:\n- product: windows", "2: aliases: fields is missing"),
        ("aliases: [", "not valid YAML"),
        ("aliases: []\naliases: []", "2: key 'aliases' stands here a second time, first on line 1; remove one"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_rest_is_used(text: str, problem: str, tmp_path: Path) -> None:
    sources, problems = loaded(tmp_path, text)

    assert len(problems) == 1
    assert problem in problems[0]
    assert sources.tables[0] == shipped_table()
    assert all(table == type(table)() for table in sources.tables[1:])


def test_entries_beside_a_wrong_one_are_used(tmp_path: Path) -> None:
    sources, problems = loaded(tmp_path, "aliases:\n- {fields: {A: [B]}}\n- {fields: {A: B}}\n- {fields: {A: [C]}}\n")

    assert problems == ["3: aliases: 'B' must be a list with an entry at least, as ['B']"]
    assert [alias.fields for alias in sources.tables[1].aliases] == [{"A": ["B"]}, {"A": ["C"]}]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    _, problems = load_log_sources([tmp_path / "none.yml"])

    assert problems == [f"{tmp_path}/none.yml: cannot read it: no such file or directory; check path and rights"]
