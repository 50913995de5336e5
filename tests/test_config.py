"""The configuration: what loads, and what is said of what does not."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import standin

from socmon.config import Config, Wiring, load
from socmon.errors import ConfigError
from socmon.resources import shipped
from socmon.secrets import SecretRef
from socmon.sections import SourceSettings
from socmon.yamlfile import read

_NAMED = {"path", "state_dir", "collectors", "forwarders", "sources"}
SECTIONS = [each.name for each in fields(Config) if each.name not in _NAMED]

KINDS = "file, http, journald, kafka, mqtt, netflow, packets, pcap, pigeon, syslog_tcp, syslog_udp"


@pytest.fixture(autouse=True)
def _pigeons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.install(tmp_path / "site", monkeypatch)


def written(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    """Every problem of a configuration, its folder left out."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


def pigeon(config: Config) -> Any:
    (wiring,) = config.collectors
    return wiring.settings


def test_shipped_example_loads_and_shows_the_defaults() -> None:
    config = load(shipped("config.example.yaml"))

    assert [(each.name, each.kind) for each in config.collectors] == [
        ("auth", "file"),
        ("network", "syslog_tcp"),
        ("equipment", "syslog_udp"),
        ("agencies", "http"),
        ("wire", "packets"),
        ("captures", "pcap"),
        ("flows", "netflow"),
        ("sensors", "mqtt"),
        ("bus", "kafka"),
        ("systemd", "journald"),
    ]
    assert [(each.name, each.kind) for each in config.forwarders] == [
        ("alerts_file", "file"),
        ("centre", "ncsc"),
        ("portal", "webhook"),
        ("broker", "mqtt"),
        ("stream", "kafka"),
        ("siem", "syslog"),
    ]
    assert config == Config(
        config.path, Path("/var/lib/socmon"), config.collectors, config.forwarders, sources=config.sources
    )
    assert config.sources == {"logins": SourceSettings(collector="auth", silent_after_s=7200)}


def test_shipped_example_shows_every_option() -> None:
    shown = read(shipped("config.example.yaml")).data
    config = load(shipped("config.example.yaml"))

    for section in SECTIONS:
        assert list(shown[section]) == list(type(getattr(config, section)).model_fields)
    for role, wirings in (("collectors", config.collectors), ("forwarders", config.forwarders)):
        for wiring in wirings:
            assert {*shown[role][wiring.name]} == {"kind", *type(wiring.settings).model_fields}
    for source in shown["sources"].values():
        assert [*source] == [*SourceSettings.model_fields]


def test_every_option_of_every_section_is_described() -> None:
    config = Config(Path("x"), Path("y"))
    assert all(option.description for option in SourceSettings.model_fields.values())

    for section in SECTIONS:
        for name, option in type(getattr(config, section)).model_fields.items():
            assert option.description, f"{section}.{name}"


def test_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "")

    assert load(path) == Config(path, Path("/var/lib/socmon"))


def test_empty_section_is_its_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "http:\ncollectors:\nrules: {}\n")

    assert load(path) == Config(path, Path("/var/lib/socmon"))


def test_component_gets_the_settings_of_its_kind(tmp_path: Path) -> None:
    config = load(
        written(tmp_path, "collectors:\n  coop:\n    kind: pigeon\n    loft: /loft\n    birds: 7\n    label: no\n")
    )

    (wiring,) = config.collectors
    assert isinstance(wiring, Wiring)
    assert (wiring.name, wiring.kind, wiring.cls.__name__) == ("coop", "pigeon", "PigeonCollector")
    assert type(wiring.settings) is wiring.cls.settings_type
    assert (pigeon(config).birds, pigeon(config).label, pigeon(config).homing) == (7, "no", True)


def test_relative_paths_count_from_the_folder_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        "state_dir: state\nrules: {paths: [mine, /etc/rules]}\n"
        "collectors: {coop: {kind: pigeon, loft: loft, more: [a, /b], key: 'file:key.pem'}}\n",
    )
    monkeypatch.chdir(tmp_path)

    config = load(Path("config.yaml"))

    assert config.state_dir == tmp_path / "state"
    assert config.rules.paths == [tmp_path / "mine", Path("/etc/rules")]
    assert pigeon(config).loft == tmp_path / "loft"
    assert pigeon(config).more == [tmp_path / "a", Path("/b")]
    assert pigeon(config).key == SecretRef("file", f"{tmp_path}/key.pem")


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
colectors: {}
collectors:
  coop:
    kind: pigeo
  Big Coop:
    kind: pigeon
    loft: /loft
    brids: 4
  attic:
    kind: pigeon
    birds: 12
    timezone: Mars/Olympus
  shed:
    loft: /loft
forwarders:
  attic:
    kind: file
    path: /alerts
http:
  port: 99999
  address: localhost
journal:
  keep_bytes: 70000
log:
  level: loud
delivery: 3
""",
    )

    assert problems(path) == [
        "config.yaml:1: colectors: unknown section; did you mean 'collectors'?",
        "config.yaml:26: delivery: must hold `name: value` lines, indented",
        (
            "config.yaml:4: collectors.coop.kind: no kind of collectors is called 'pigeo'; did you mean 'pigeon'?; "
            f"known: {KINDS}"
        ),
        "config.yaml:5: collectors.Big Coop: a name is made of 1 to 40 of a-z, 0-9, _ and -; rename it",
        (
            "config.yaml:8: collectors.Big Coop.brids: unknown key; did you mean 'birds'?; "
            "known: birds, format, homing, key, label, loft, more, quota_per_s, timezone"
        ),
        (
            "config.yaml:12: collectors.attic.timezone: no time zone is called 'Mars/Olympus'; "
            "use an IANA name such as Asia/Ho_Chi_Minh"
        ),
        "config.yaml:9: collectors.attic.loft: missing; where the pigeons live.",
        "config.yaml:11: collectors.attic.birds: input should be less than or equal to 9, not 12",
        "config.yaml:13: collectors.shed.kind: missing; it says what the component is, one of: " + KINDS,
        "config.yaml:16: forwarders.attic: a collector has this name already, at config.yaml:9; rename one of them",
        "config.yaml:22: journal: keep_bytes (70000) is less than segment_bytes (67108864); raise keep_bytes",
        "config.yaml:21: http.address: 'localhost' is no IP address; write one such as 127.0.0.1",
        "config.yaml:20: http.port: input should be less than or equal to 65535, not 99999",
        "config.yaml:25: log.level: input should be 'debug', 'info', 'warning' or 'error', not 'loud'",
    ]


def test_reports_are_due_in_their_order_and_for_levels_that_there_are(tmp_path: Path) -> None:
    late = written(tmp_path, "reports:\n  first_h: 80\n")
    assert problems(late) == [
        "config.yaml:1: reports: detailed_h (72) is less than first_h (80); raise detailed_h",
    ]

    (problem,) = problems(written(tmp_path, "reports:\n  levels: [urgent]\n"))
    assert problem.startswith("config.yaml:2: reports.levels.0: input should be 'informational', 'low'")


def test_ambiguous_number_is_told_once(tmp_path: Path) -> None:
    path = written(tmp_path, "http:\n  port: 0777\n")

    assert problems(path) == ["config.yaml:2: 0777 may be octal or decimal; write 777, or put it in quotes"]


def test_secret_in_plain_text_is_refused_without_repeating_it(tmp_path: Path) -> None:
    path = written(tmp_path, "collectors:\n  coop:\n    kind: pigeon\n    loft: /x\n    key: hunter2\n")

    (problem,) = problems(path)

    assert problem.startswith("config.yaml:5: collectors.coop.key: not a reference to a secret; write file:/path/to/it")
    assert "hunter2" not in problem


def test_text_that_may_be_a_secret_is_not_repeated(tmp_path: Path) -> None:
    path = written(
        tmp_path, "collectors:\n  coop:\n    kind: pigeon\n    loft: /x\n    pasword: hunter2\n    birds: hunter2\n"
    )

    assert "hunter2" not in "\n".join(problems(path))


def test_conf_d_is_merged_by_section_in_the_order_of_names(tmp_path: Path) -> None:
    path = written(tmp_path, "http: {port: 1}\ncollectors: {a: {kind: pigeon, loft: /a}}\n")
    written(tmp_path, "collectors: {c: {kind: pigeon, loft: /c}}\n", "conf.d/2.yaml")
    written(tmp_path, "collectors: {b: {kind: pigeon, loft: b}}\nhttp: {address: '::1'}\n", "conf.d/1.yaml")
    written(tmp_path, "not: read\n", "conf.d/1.yaml.bak")

    config = load(path)

    assert [each.name for each in config.collectors] == ["a", "b", "c"]
    assert (config.http.address, config.http.port) == ("::1", 1)
    assert getattr(config.collectors[1].settings, "loft", None) == tmp_path / "b"


def test_nothing_may_be_set_in_two_files(tmp_path: Path) -> None:
    path = written(tmp_path, "state_dir: /a\ncollectors:\n  coop: {kind: pigeon, loft: /a}\n")
    written(tmp_path, "collectors:\n\n  coop: {kind: pigeon, loft: /b}\nstate_dir: /b\n", "conf.d/more.yaml")

    assert problems(path) == [
        "conf.d/more.yaml:3: collectors.coop: set already at config.yaml:3; remove one of them",
        "conf.d/more.yaml:4: state_dir: set already at config.yaml:1; remove one of them",
    ]


def test_problem_in_conf_d_names_that_file(tmp_path: Path) -> None:
    path = written(tmp_path, "http: {address: 127.0.0.1}\n")
    written(tmp_path, "http:\n  port: -1\n", "conf.d/port.yaml")

    assert problems(path) == ["conf.d/port.yaml:2: http.port: input should be greater than or equal to 0, not -1"]


def test_problems_of_all_files_are_told_even_if_one_is_no_yaml(tmp_path: Path) -> None:
    path = written(tmp_path, "http: [\n")
    written(tmp_path, "- a\n", "conf.d/list.yaml")
    written(tmp_path, "http: {prot: 1}\n", "conf.d/typo.yaml")

    found = problems(path)

    assert [problem.split(": ")[0] for problem in found] == [
        "config.yaml:2",
        "conf.d/list.yaml:1",
        "conf.d/typo.yaml:1",
    ]


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "config.yaml") == [
        "config.yaml: cannot read it: no such file or directory; check path and rights"
    ]


def test_nested_settings_are_told_by_their_whole_place(tmp_path: Path) -> None:
    path = written(tmp_path, "rules:\n  paths:\n    - a\n    - {b: 1}\n")

    (problem,) = problems(path)

    assert problem.startswith("config.yaml:4: rules.paths.1: input should be a path")


def test_shipped_file_that_does_not_exist_is_a_clear_error() -> None:
    with pytest.raises(Exception, match=r"nothing\.yaml is missing from this installation .*install socmon again"):
        shipped("nothing.yaml")


def test_a_mistaken_type_is_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("state_dir: 5\nrules: {paths: one.yml}\nintake: {tick_s: soon}\njournal: {keep_days: many}\n")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert caught.value.problems == [
        f"{path}:1: state_dir: input should be a path, not 5",
        f"{path}:2: rules.paths: input should be a list: write [ONE, OTHER]",
        f"{path}:3: intake.tick_s: input should be a number",
        f"{path}:4: journal.keep_days: input should be a whole number",
    ]


def test_the_name_and_format_of_our_own_records_are_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "collectors:\n  socmon: {kind: file, paths: [a]}\n  b: {kind: file, paths: [a], format: socmon}\n"
        "forwarders:\n  socmon: {kind: file, path: a}\n",
    )

    told = problems(path)

    assert "config.yaml:2: collectors.socmon: this name is kept for socmon's own records; rename it" in told
    assert any(problem.startswith("config.yaml:3: collectors.b.format: 'socmon' is the format of") for problem in told)
    assert any(problem.startswith("config.yaml:5: forwarders.socmon: this name is kept") for problem in told)


def test_a_format_that_no_parser_has_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "collectors:\n  w:\n    kind: file\n    paths: [/a]\n    format: windows-json\n")

    (told,) = problems(path)

    assert told.startswith("config.yaml:5: collectors.w.format: no format is called 'windows-json'; did you mean")
    assert "known: auto, dovecot, rfc5424, " in told


def test_expected_sources_are_loaded_from_all_files(tmp_path: Path) -> None:
    collectors = "collectors: {auth: {kind: file, paths: [/f]}}\n"
    path = written(tmp_path, collectors + "sources: {logins: {collector: auth, host: db-1}}\n")
    written(tmp_path, "sources: {mail: {collector: auth, peer: /f, silent_after_s: 5}}\n", "conf.d/mail.yaml")

    assert load(path).sources == {
        "logins": SourceSettings(collector="auth", host="db-1"),
        "mail": SourceSettings(collector="auth", peer="/f", silent_after_s=5),
    }


def test_what_is_wrong_with_an_expected_source_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
collectors: {auth: {kind: file, paths: [/f]}}
sources:
  a: {collector: auht}
  B: {collector: auth}
  c: {peer: ""}
  d: auth
  e: {collector: auth, silent_after_s: 0}
  f: {collector: auth, zzz: x}
""",
    )

    assert problems(path) == [
        "config.yaml:3: sources.a.collector: no collector is called 'auht'; did you mean 'auth'?",
        "config.yaml:4: sources.B: a name is made of 1 to 40 of a-z, 0-9, _ and -; rename it",
        "config.yaml:5: sources.c.collector: missing; name of the collector that its records come by.",
        "config.yaml:5: sources.c.peer: string should have at least 1 character",
        "config.yaml:6: sources.d: must hold `collector: NAME` and what else is known of it, indented",
        "config.yaml:7: sources.e.silent_after_s: input should be greater than 0, not 0",
        "config.yaml:8: sources.f.zzz: unknown key; known: collector, host, peer, silent_after_s",
    ]
