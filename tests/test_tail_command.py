"""`socmon alerts tail` and `socmon tail` as processes: over commits, restarts, a new store, a kill."""

import asyncio
import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from field import field_in, wait_for
from store_kit import START_US, Place, alert, clean, valid

from socmon.cli.follow import Following
from socmon.store import Store
from socmon.store.triage import Change


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def following(place: Place, *args: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        place.command("-o", "ndjson", *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean()
    )
    assert process.stdout is not None
    return process


def line(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """(number, revision) of the next alert it prints; waits for it."""
    assert process.stdout is not None
    row = valid(json.loads(process.stdout.readline()), "alerts.tail.v1", row=True)
    return int(row["id"][:8], 16), row["revision"]


def set_aside(place: Place) -> None:
    """Move the store away as docs/operations.md says: with its companions, which would bring it back."""
    for file in place.state.glob("socmon.db*"):
        file.rename(file.with_name(f"old-{file.name}"))


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_tail_shows_the_last_changes_in_their_order(place: Place) -> None:
    place.put(alert(3), alert(1))
    place.put(alert(2))
    place.put(alert(3, revision=2))

    result = json.loads(place.socmon("-o", "json", "alerts", "tail", "-n", "2").stdout)

    valid(result, "alerts.tail.v1")
    assert [(each["id"][:8], each["revision"]) for each in result["alerts"]] == [("00000002", 1), ("00000003", 2)]
    assert json.loads(place.socmon("-o", "json", "alerts", "tail", "-n", "0").stdout)["alerts"] == []


def test_following_misses_and_doubles_nothing_over_commits_and_ends_with_130(place: Place) -> None:
    place.put(alert(1), alert(2))
    with following(place, "tail", "-n", "1") as process:
        shown = [line(process)]
        for number in range(3, 9):
            place.put(alert(number), alert(1, revision=number))  # each time another daemon, as after a restart
            shown += [line(process), line(process)]
        code, out, err = interrupted(process)

    assert shown == [(2, 1), *((n, r) for number in range(3, 9) for n, r in ((number, 1), (1, number)))]
    assert (code, out, err) == (130, b"", b"")


def test_following_survives_a_store_that_is_made_again(place: Place) -> None:
    place.put(alert(1), alert(2, revision=5))
    with following(place, "tail") as process:
        shown = [line(process), line(process)]
        set_aside(place)
        place.put(alert(2, revision=4), alert(1), alert(3))  # the journal read anew, not quite to its end
        shown.append(line(process))
        place.put(alert(2, revision=6))
        shown.append(line(process))
        code, out, err = interrupted(process)

    assert shown == [(1, 1), (2, 5), (3, 1), (2, 6)]
    assert (code, out, err) == (130, b"", b"")


def test_following_reads_the_old_store_to_its_end_while_the_new_one_is_made(place: Place) -> None:
    place.put(alert(1))
    with closing(Following(place.store, 1)) as changes:
        assert [each.id for each in changes.look()] == [alert(1).id]
        place.put(*(alert(number) for number in range(2, 1302)))
        set_aside(place)
        place.store.touch()  # as SQLite begins
        seen = changes.look()
        place.store.unlink()
        place.put(alert(1), alert(5, revision=2), alert(2000))
        for _ in range(4):
            seen += changes.look()

    numbers = [(int(each.id[:8], 16), each.revision) for each in seen]
    assert numbers == [*((number, 1) for number in range(2, 1302)), (5, 2), (2000, 1)]


def test_who_may_only_read_follows_a_store_that_is_written_after_a_stop(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks the daemon starts, writes and stops; each time the file alone is there to be read."""

    def alone(path: Path) -> tuple[sqlite3.Connection, bool]:
        return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None), True

    monkeypatch.setattr("socmon.store.reading.connect", alone)
    place.put(alert(1))
    with closing(Following(place.store, 10)) as changes:
        seen = changes.look()
        for number in (2, 3):
            place.put(alert(number))
            seen += changes.look()
        seen += changes.look()

    assert [each.id for each in seen] == [alert(number).id for number in (1, 2, 3)]


def test_following_waits_for_a_store_and_says_so(place: Place) -> None:
    with following(place, "tail") as process:
        assert process.stderr is not None
        assert b"there is no store at" in process.stderr.readline()
        place.put(alert(1))
        shown = line(process)
        code, out, err = interrupted(process)

    assert (shown, code, out, err) == ((1, 1), 130, b"", b"")


def test_tail_shows_what_list_shows_for_the_same_filters_and_nothing_else_as_it_comes(place: Place) -> None:
    def numbers(*args: str) -> list[str]:
        rows = json.loads(place.socmon("-o", "json", "alerts", *args).stdout)["alerts"]
        return sorted(row["id"][:8] for row in rows)

    place.put(alert(1), alert(2, agency="so-yte"), alert(3, level="critical"), alert(4, level="low", title="Sudo"))
    place.put(alert(5, host="db-9", entities={"host": ["db-9"]}), alert(6, rule_id="r6"))
    for asked in (
        ("--level", "high+"), ("--level", "low"), ("--rule", "sudo"), ("--rule", "r6"), ("--agency", "so-yte"),
        ("--host", "db-9"), ("--entity", "203.0.113.2"), ("--status", "open"), ("--status", "recurring"),
        ("--since", "2026-09-21T14:13:29Z"), ("--level", "high", "--host", "dvc-web-01"),
    ):  # fmt: skip
        assert numbers("tail", *asked) == numbers("list", *asked)

    with following(place, "tail", "-n", "1", "--level", "critical") as process:
        shown = [line(process)]
        place.put(*(alert(number) for number in range(100, 1400)), alert(7, level="critical"))
        shown.append(line(process))
        code, out, err = interrupted(process)

    assert shown == [(3, 1), (7, 1)]
    assert (code, out, err) == (130, b"", b"")


def test_tail_shows_whose_word_a_status_is(place: Place) -> None:
    async def close() -> None:
        store = Store(place.store)
        for change in (Change("ack"), Change("close", reason="fp")):
            await store.triage([alert(1).id], change, actor="bình\x1b[2J", now_us=START_US)
        await store.close()

    place.put(alert(1), alert(2))
    asyncio.run(close())

    shown = place.socmon("--lang", "vi", "alerts", "tail").stdout.splitlines()
    place.put(alert(1, revision=2))
    recurring = place.socmon("--lang", "vi", "alerts", "tail").stdout.splitlines()

    assert "00000002  Mới  5×" in shown[0]
    assert "00000001  Đã đóng (bình\\x1b[2J)  5×" in shown[1]
    assert "00000001  Tái diễn  5×" in recurring[1]


@pytest.mark.parametrize("args", [("alerts", "list"), ("alerts", "tail", "-n", "2000"), ("tail",), ("parse", "log")])
@pytest.mark.parametrize("form", ["human", "ndjson", "csv"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(place: Place, args: tuple[str, ...], form: str) -> None:
    place.put(*(alert(number) for number in range(1, 600)))
    log = place.config.with_name("log")
    log.write_text("Nov 23 10:00:00 web sshd[1]: Connection closed by 10.0.0.1 port 4 [preauth]\n" * 5000)
    command = place.command(
        "-o", form, *(str(log) if arg == "log" else arg for arg in args), *["--limit", "500"][: 2 * ("list" in args)]
    )

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean(), bufsize=0) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        code = process.wait(60)

    assert err == b""
    assert code in {0, 141}


# ── with the daemon ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_alerts_of_a_running_daemon_are_followed_listed_shown_and_still_there_after_a_kill(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as field:
        field.configure(["auth"], forwarders={"out": {"kind": "file", "path": str(tmp_path / "out.ndjson")}})
        place = Place(tmp_path / "unused")
        place.config = field.root / "config.yaml"
        with following(place, "tail", "-n", "0") as process:
            assert process.stderr is not None
            assert b"there is no store at" in process.stderr.readline()  # from now on all that comes is news
            field.start_daemon()
            field.write("auth", 0, 400)
            wait_for((field.state / "socmon.db").exists, "a store")
            first = line(process)
            wait_for(lambda: place.socmon("status").returncode == 0, "all well")
            status = json.loads(place.socmon("-o", "json", "status").stdout)
            assert field.daemon is not None
            field.daemon.kill()
            field.daemon.wait(10)
            listed = json.loads(place.socmon("-o", "json", "alerts", "list").stdout)
            interrupted(process)

        assert status["daemon"]["pid"] == field.daemon.pid
        assert f"{first[0]:08x}" in {each["id"][:8] for each in listed["alerts"]}
        valid(listed, "alerts.list.v1")
        valid(status, "status.v1")
        down = place.socmon("status")
        assert down.returncode == 4
        assert down.stdout.startswith("warning  the daemon is down")
        shown = json.loads(place.socmon("-o", "json", "alerts", "show", listed["alerts"][0]["id"]).stdout)
        assert valid(shown, "alerts.show.v1")["alert"]["evidence"]
