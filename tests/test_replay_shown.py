"""What `socmon replay` shows of itself: how far it is, what it came to, and how it ends when it is stopped."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_kit import run_here
from field import wait_for
from replay_kit import failed, objects, quiet, run, write
from store_kit import clean, valid
from terminal_kit import needs_tmux, overflowing, terminal

from socmon.cli.progress import Look, Progress
from socmon.i18n import translator
from socmon.replaying.timeline import Timeline

S = 1_000_000
COMMAND = [sys.executable, "-m", "socmon", "replay"]


@pytest.fixture
def log(tmp_path: Path) -> str:
    return write(tmp_path / "auth.log", *(failed(n, host=f"h{n // 700}") for n in range(4000)))


def fed(*more: str, **streams: Any) -> "subprocess.Popen[bytes]":
    """A replay of standard input, which is left open."""
    command = [*COMMAND, "-", *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=clean() | {"LC_ALL": "C.UTF-8"}, **streams)


def waiting(pipe: Any) -> int:
    """Bytes that nobody has read from a pipe yet."""
    return int.from_bytes(fcntl.ioctl(pipe, 0x541B, bytes(4)), sys.byteorder)  # FIONREAD


def asleep(process: subprocess.Popen[Any]) -> bool:
    """Whether each of its threads waits for something: one that has still to do is runnable, however busy all is."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks)


# ── the summary ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_people_are_told_what_it_came_to(log: str) -> None:
    shown = run(log, "--matches").stderr.decode().splitlines()

    assert shown[0] == "4,000 lines, 4,000 evaluated, 0 unparsed, 4,000 matched by a rule"
    assert " lines/s, " in shown[1]
    assert shown[1].endswith(" MiB of memory at most")
    assert shown[2] == "      4,000  SSH login failure"
    assert set(shown[3]) == {"|", "█"} | set(shown[3]) & set("▁▂▃▄▅▆▇")
    assert " ".join(shown[4:]).startswith("matches by event time, 2026-03-01 ")
    assert " ".join(shown[4:]).endswith(" 2 min each, at most 128")


def test_alerts_are_summed_up_by_level_and_in_vietnamese(log: str) -> None:
    told = run(log, "--lang", "vi").stderr.decode()

    assert "\n1 cảnh báo: 1 Cao\n" in told
    assert "4,000 dòng, 4,000 đã xét" in told


def test_programs_get_the_summary_where_they_ask_for_it(log: str) -> None:
    asked = run(log, "--summary", "-o", "json")
    plain = run(log, "-o", "json")
    *rows, last = objects(run(log, "--summary", "--matches", "-o", "ndjson").stdout)

    whole = valid(json.loads(asked.stdout), "replay.v1")
    summary = whole.pop("summary")
    assert whole == json.loads(plain.stdout)
    assert (asked.stderr, plain.stderr) == (b"", b"")
    assert (summary["lines"], summary["evaluated"], summary["matches"], summary["alerts"]) == (
        4000,
        4000,
        4000,
        {"high": 1},
    )
    assert (summary["worker_memory_bytes"], summary["interrupted"], summary["timeline"]["of"]) == (
        None,
        False,
        "alerts",
    )
    assert 10_000_000 < summary["peak_memory_bytes"] < 2_000_000_000
    assert len(rows) == 4000
    counts = last["summary"]["timeline"]["counts"]
    assert (sum(counts), last["summary"]["alerts"]) == (4000, None)
    assert 30 < len(counts) <= 60
    valid({"schema": "socmon.replay.matches/v1", "matches": rows, **last}, "replay.matches.v1")


def test_json_is_written_as_it_comes_and_is_the_bytes_of_one_encoding(log: str, tmp_path: Path) -> None:
    nothing = write(tmp_path / "nothing.log", quiet(0))

    for file in (log, nothing):
        out = run(file, "--matches", "-o", "json").stdout
        rows = objects(run(file, "--matches", "-o", "ndjson").stdout)
        whole = {"schema": "socmon.replay.matches/v1", "matches": rows}
        assert out.decode() == json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"


def test_times_in_any_order_and_distance_are_counted_in_few_columns() -> None:
    timeline = Timeline()
    assert timeline.span(60) is None

    times = [n * S * step for step in (1, 977, 86_400 * 31) for n in range(3000)]
    timeline.add(reversed(times))
    timeline.add([])
    span = timeline.span(60)

    assert span is not None
    assert len(timeline._bins) <= 4096
    assert (sum(span.counts), len(span.counts) <= 60) == (9000, True)
    assert (span.first_us, span.last_us) == (min(times), max(times))
    start = span.first_us // span.column_us
    assert span.counts[0] == sum(time // span.column_us == start for time in times)


def test_a_time_before_1970_has_its_column() -> None:
    timeline = Timeline()
    timeline.add([-5 * S, 5 * S])
    span = timeline.span(60)

    assert span is not None
    assert (span.counts[0], span.counts[-1], sum(span.counts)) == (1, 1, 2)


# ── the line that says how far it is ─────────────────────────────────────────────────────────────────────────────────


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def last(stream: io.StringIO) -> str:
    return stream.getvalue().rpartition("\x1b[K")[2]


def drawn(monkeypatch: pytest.MonkeyPatch, columns: int, lang: str = "en") -> tuple[Progress, io.StringIO]:
    monkeypatch.setattr("socmon.cli.progress.columns", lambda _stream: columns)
    stream = io.StringIO()
    monkeypatch.setattr("socmon.cli.progress.can_show", lambda _stream, _text: True)
    return Progress(translator("vi" if lang == "vi" else "en"), stream, drawn=True), stream


def test_the_line_tells_share_speed_and_time_left(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    progress, stream = drawn(monkeypatch, 100)

    progress.show(Look(0.0, 0, "0 matches"))
    assert not progress.due
    clock.now_s += 10
    assert progress.due
    progress.show(Look(0.25, 12_345, "7 matches"))

    assert last(stream) == "█████░░░░░░░░░░░░░░░   25%  1,234 lines/s  7 matches  0:30 left"
    progress.clear()
    assert last(stream) == ""


@pytest.mark.parametrize("columns", range(1, 90))
@pytest.mark.parametrize("lang", ["en", "vi"])
def test_the_line_never_reaches_the_edge(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, columns: int, lang: str
) -> None:
    progress, stream = drawn(monkeypatch, columns, lang)

    for done in (0.0, 0.4, None, 1.2):
        clock.now_s += 7000
        progress.show(Look(done, 5_000_000, "1,204 matches"))
        assert overflowing([last(stream)], max(1, columns - 1)) == []
    if columns > 7:
        assert "100%" in last(stream)


def test_it_is_drawn_a_few_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    progress, stream = drawn(monkeypatch, 80)

    for step in range(1000):  # ten seconds
        clock.now_s += 0.01
        if progress.due:
            progress.show(Look(step / 1000, step * 50, ""))

    assert 30 <= stream.getvalue().count("\r") <= 41


def test_without_a_terminal_there_is_nothing_or_a_line_now_and_then(log: str, clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(translator("en"), stream, drawn=False)
    for step in range(61):  # a minute
        clock.now_s += 1
        if progress.due:
            progress.show(Look(step / 60, step * 50, "1 match"))

    assert len(stream.getvalue().splitlines()) == 6
    assert not set(stream.getvalue()) & {"\r", "\x1b"}
    assert b"%" not in run(log).stderr


def test_what_cannot_be_encoded_is_drawn_in_ascii(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    progress = Progress(translator("en"), stream, drawn=True)

    progress.show(Look(0.5, 10, ""))

    written = stream.buffer.getvalue()
    assert b"##########.........." in written


def big(tmp_path: Path) -> str:
    """A log that takes some seconds."""
    return write(tmp_path / "big.log", *(failed(n / 20) for n in range(20_000)))


@needs_tmux
def test_a_terminal_shows_how_far_it_is_and_then_the_summary_alone(tmp_path: Path) -> None:
    with terminal() as screen:
        screen.start([*COMMAND, big(tmp_path)], columns=100)
        screen.shows("lines/s")
        ended = screen.ended()

    assert not any("left" in line or "░" in line for line in ended)
    assert any("20,000 lines, 20,000 evaluated" in line for line in ended)
    assert any("[exit 0]" in line for line in ended)


@needs_tmux
def test_rows_and_progress_on_one_terminal_do_not_mix(tmp_path: Path) -> None:
    rare = [quiet(n) if n % 3000 else failed(n) for n in range(60_000)]
    log = write(tmp_path / "rare.log", *rare)
    with terminal() as screen:
        screen.start([*COMMAND, "--matches", log], columns=160, rows=60)
        ended = screen.ended()

    rows = [line for line in ended if "rare.log:" in line]
    assert [line.split("rare.log:")[1].split()[0] for line in rows] == [str(n) for n in range(0, 60_000, 3000)]
    assert all(line.startswith(str(tmp_path)) for line in rows)


@needs_tmux
@pytest.mark.parametrize("columns", [20, 40])
def test_a_narrow_terminal_is_not_overflowed(tmp_path: Path, columns: int) -> None:
    with terminal() as screen:
        screen.start([*COMMAND, "-", "--year", "2026"], columns=columns, rows=50)
        screen.typed("Mar  1 12:00:00 web sshd[7]: Failed password for root from 192.0.2.7 port 4000 ssh2")
        screen.keys("Enter", "C-d")
        ended = screen.ended()

    assert any(line.startswith("1 lines") for line in ended)


@needs_tmux
def test_ctrl_c_on_a_terminal_ends_it_with_what_there_was(tmp_path: Path) -> None:
    big_log = write(tmp_path / "big.log", *(failed(n / 20) for n in range(400_000)))
    with terminal() as screen:
        screen.start([*COMMAND, "-j", "2", big_log], columns=100, rows=50)
        screen.shows(" left")
        screen.keys("C-c")
        ended = "\n".join(screen.ended())

    assert "interrupted: this is of the beginning only" in ended
    assert "SSH brute force" in ended
    assert "[exit 130]" in ended
    assert "Traceback" not in ended


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["json", "ndjson", "human"])
def test_an_interrupt_while_it_waits_for_input_ends_it_with_what_it_has(form: str) -> None:
    replay = fed("-o", form, "--summary", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert replay.stdin is not None
    replay.stdin.write("".join(failed(n) for n in range(1000)).encode())
    replay.stdin.flush()
    wait_for(lambda: waiting(replay.stdin) == 0 and asleep(replay), "all of it read and evaluated")

    replay.send_signal(signal.SIGINT)
    out, err = replay.communicate(timeout=60)

    assert replay.returncode == 130
    if form == "human":
        assert b"SSH brute force" in out
        assert err.startswith(b"interrupted: this is of the beginning only\n1,000 lines")
        return
    assert err == b""
    found = json.loads(out) if form == "json" else {"alerts": objects(out)[:1], **objects(out)[-1]}
    assert [alert["count"] for alert in found["alerts"]] == [1000]
    assert (found["summary"]["interrupted"], found["summary"]["lines"]) == (True, 1000)


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    log = big(tmp_path)
    readable, writable = os.pipe()
    replay = subprocess.Popen([*COMMAND, "--matches", log], stdout=writable, stderr=subprocess.PIPE, env=clean())
    os.close(writable)
    assert os.read(readable, 10)
    os.close(readable)

    _, err = replay.communicate(timeout=60)

    assert (replay.returncode, err) == (141, b"")


def test_a_quiet_replay_says_nothing_of_itself(log: str) -> None:
    assert run(log, "-q", "--progress").stderr == b""


def test_progress_that_is_asked_for_is_no_part_of_a_programs_result(log: str) -> None:
    plain, followed = (run(log, "-o", "ndjson", *more) for more in ([], ["--progress"]))

    assert followed.stdout == plain.stdout
    assert run_here("replay", log, "--no-progress", "-o", "ndjson").stdout == plain.stdout
