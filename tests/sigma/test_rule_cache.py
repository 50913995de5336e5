"""Rules from the cache are the rules of the files, whatever became of either; what others could write is not used."""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rule_cache_kit import CORRELATION, PLACEHOLDERS, RULE, loaded, tree
from sigmahq_kit import ARCHIVE, files_of

from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.sigma.loading import Loader
from socmon.sigma.logsources import Alias, LogSources, Table, shipped_log_sources
from socmon.sigma.rule_cache import RuleCache, cache_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tree(tmp_path / "rules")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def the_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def read_anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from now on, as they are."""
    read: list[str] = []
    real = Loader._read

    def noted(self: Loader, path: str, content: bytes) -> Any:
        read.append(Path(path).name)
        return real(self, path, content)

    monkeypatch.setattr(Loader, "_read", noted)
    return read


@pytest.mark.parametrize("placeholders", [{}, PLACEHOLDERS], ids=["no placeholders", "placeholders"])
def test_what_is_kept_is_what_was_read(
    rules: Path, folder: Path, placeholders: dict[str, list[str | int | float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loaded([rules], None, placeholders=placeholders)
    first = loaded([rules], folder, placeholders=placeholders)
    read = read_anew(monkeypatch)

    assert loaded([rules], folder, placeholders=placeholders) == first == plain
    assert read == []
    assert plain.rules
    assert plain.errors
    assert plain.warnings


def test_the_shipped_rules_are_the_same_from_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, first = loaded([shipped("rules")], None), loaded([shipped("rules")], folder)
    read = read_anew(monkeypatch)

    assert loaded([shipped("rules")], folder) == first == plain
    assert read == []


@pytest.mark.skipif(not ARCHIVE.exists(), reason="SigmaHQ's archive is not below SOCMON_DATA")
@pytest.mark.timeout(600)
def test_all_of_sigmahq_is_the_same_from_the_cache(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files_of("rules", "rules-placeholder", "unsupported", "rules-threat-hunting"):
        file = tmp_path / "hq" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    first = loaded([tmp_path / "hq"], folder)
    read = read_anew(monkeypatch)

    assert loaded([tmp_path / "hq"], folder) == first
    assert read == []
    assert len(first.rules) > 3_000


def test_only_the_file_that_changed_is_read_again(rules: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded([rules], folder)
    read = read_anew(monkeypatch)
    (rules / "a.yml").write_text(RULE.replace("whoami", "hostname"))

    changed, again = loaded([rules], folder), loaded([rules], folder)

    assert read == ["a.yml"]
    assert changed == again == loaded([rules], None)


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "moved line"])
def test_a_file_that_came_went_or_is_called_otherwise_is_seen(rules: Path, folder: Path, change: str) -> None:
    before = loaded([rules], folder)
    match change:
        case "added":
            (rules / "z.yml").write_text(RULE.replace("title: A", "title: Z").replace("name: base", "name: z"))
        case "removed":
            (rules / "a.yml").unlink()
        case "renamed":
            (rules / "a.yml").rename(rules / "b.yml")
        case _:
            (rules / "a.yml").write_text("# a remark\n" + RULE)

    after = loaded([rules], folder)

    assert after == loaded([rules], None)
    assert after != before


def test_other_values_of_placeholders_are_seen(rules: Path, folder: Path) -> None:
    results = [
        loaded([rules], folder, placeholders={"name": values}) for values in (["a"], ["b"], [5], ["5"], ["a", "b"])
    ]

    assert results == [
        loaded([rules], None, placeholders={"name": values}) for values in (["a"], ["b"], [5], ["5"], ["a", "b"])
    ]


def test_other_tables_of_log_sources_are_seen(rules: Path, folder: Path) -> None:
    table = Table(aliases=(Alias(fields={"CommandLine": ["cmd", "command"]}, product="windows"),))
    other = LogSources([*shipped_log_sources().tables, table])
    loaded([rules], folder)

    assert loaded([rules], folder, sources=other) == loaded([rules], None, sources=other) != loaded([rules], None)


def test_other_code_makes_another_cache(rules: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded([rules], folder)
    read = read_anew(monkeypatch)
    monkeypatch.setattr("socmon.sigma.rule_cache._code", lambda: b"of the next version")

    loaded([rules], folder)

    assert {*read} == {file.name for file in rules.iterdir()}


def test_some_sets_of_rules_are_kept_and_no_more(tmp_path: Path, folder: Path) -> None:
    for number in range(7):
        loaded([tree(tmp_path / f"rules{number}")], folder)

    assert len(list(folder.iterdir())) == 4


def test_what_a_killed_writer_left_goes(rules: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "rules-1-ab.tmp").write_bytes(b"half")
    (folder / "notes").write_text("somebody's own")

    loaded([rules], folder)

    assert {file.suffix for file in folder.iterdir()} == {"", ".cache"}


def test_a_start_from_the_cache_does_without_pysigma(rules: Path, folder: Path, tmp_path: Path) -> None:
    loaded([rules], folder)
    program = (
        "import sys; from pathlib import Path\n"
        "from socmon.sigma import load_rules; from socmon.sigma.rule_cache import RuleCache\n"
        "rules = load_rules([sys.argv[1]], cache=RuleCache(Path(sys.argv[2])))\n"
        "print(len(rules.rules), [name for name in sys.modules if name.partition('.')[0] == 'sigma'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, rules, folder], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == f"{len(loaded([rules], folder).rules)} []"


# ---- who could have written it


def test_it_is_for_this_user_alone(rules: Path, folder: Path) -> None:
    loaded([rules], folder)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert the_file(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
@pytest.mark.parametrize("of_folder", [False, True])
def test_what_others_may_write_is_not_used_and_said_once(
    rules: Path, folder: Path, mode: int, monkeypatch: pytest.MonkeyPatch, *, of_folder: bool
) -> None:
    loaded([rules], folder)
    place = folder if of_folder else the_file(folder)
    place.chmod(mode | (0o100 if of_folder else 0))
    cache = RuleCache(folder)
    read = read_anew(monkeypatch)

    load_rules([rules], cache=cache)

    assert read
    assert cache.distrusted is not None
    assert str(place) in cache.distrusted
    assert "others may write to it" in cache.distrusted
    # A file that is this user's is written anew, and is trusted from then on.
    assert (RuleCache(folder)._read(the_file(folder).name) == {}) is of_folder


@pytest.mark.parametrize("of_folder", [False, True])
def test_a_link_is_not_followed(rules: Path, folder: Path, tmp_path: Path, *, of_folder: bool) -> None:
    loaded([rules], folder)
    place = folder if of_folder else the_file(folder)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    cache = RuleCache(folder)

    load_rules([rules], cache=cache)

    assert cache.distrusted is not None
    assert "it is a link" in cache.distrusted


@as_root
@pytest.mark.parametrize("of_folder", [False, True])
def test_what_belongs_to_somebody_else_is_not_used(rules: Path, folder: Path, *, of_folder: bool) -> None:
    loaded([rules], folder)
    os.chown(folder if of_folder else the_file(folder), 65534, 65534)
    cache = RuleCache(folder)

    load_rules([rules], cache=cache)

    assert cache.distrusted is not None
    assert "belongs to another user" in cache.distrusted


@as_root
def test_root_leaves_nothing_in_the_state_of_somebody_else(rules: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    assert cache_folder(state) == state / "cache"
    os.chown(state, 65534, 65534)

    assert cache_folder(state) == Path(os.environ["XDG_CACHE_HOME"]) / "socmon"
    assert loaded([rules], state / "cache") == loaded([rules], None)
    assert list(state.iterdir()) == []


def test_without_a_state_directory_and_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")

    assert cache_folder(None) is None
    assert cache_folder(tmp_path / "missing") is None


# ---- where it cannot be written, and what becomes of it


@as_user
def test_a_folder_that_cannot_be_written_is_no_error(rules: Path, folder: Path) -> None:
    folder.mkdir(mode=0o500)

    assert loaded([rules], folder) == loaded([rules], None)


def test_a_file_in_the_folders_place_is_no_error(rules: Path, folder: Path) -> None:
    folder.write_text("no folder")

    assert loaded([rules], folder) == loaded([rules], None)


def test_a_full_disk_is_no_error_and_leaves_nothing(rules: Path, folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        result = loaded([rules], folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert list(folder.iterdir()) == []
    assert result == loaded([rules], None)


def test_two_at_once_and_one_who_deletes_disturb_nobody(rules: Path, folder: Path) -> None:
    wanted = loaded([rules], None)
    results: list[Any] = []
    over = threading.Event()

    def load() -> None:
        results.extend(loaded([rules], folder) for _ in range(15))

    def delete() -> None:
        while not over.is_set():
            for file in list(folder.glob("*")):
                file.unlink(missing_ok=True)

    loaders = [threading.Thread(target=load) for _ in range(2)]
    deleter = threading.Thread(target=delete)
    for thread in (*loaders, deleter):
        thread.start()
    for thread in loaders:
        thread.join()
    over.set()
    deleter.join()

    assert results == [wanted] * 30


def test_what_would_not_come_back_equal_is_not_kept(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "odd.yml").write_text(RULE + "---\n" + CORRELATION.replace("[base]", "[base, 2024-01-01]"))

    results = [loaded([tmp_path / "rules"], folder) for _ in range(3)]

    assert results == [loaded([tmp_path / "rules"], None)] * 3
    assert "'2024-01-01'" in results[0].errors[0].message


def test_entries_of_another_form_are_read_anew(rules: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mistake of ours would leave them: the sum is right, and one entry is not."""
    loaded([rules], folder)
    name = the_file(folder).name
    entries = RuleCache(folder)._read(name)
    entries |= dict.fromkeys(list(entries)[:2], msgspec.Raw(msgspec.msgpack.encode({"documents": [["rule", 1]]})))
    RuleCache(folder)._write(name, msgspec.msgpack.encode(entries))
    read = read_anew(monkeypatch)

    results = [loaded([rules], folder) for _ in range(2)]

    assert len(read) == 2
    assert results == [loaded([rules], None)] * 2
