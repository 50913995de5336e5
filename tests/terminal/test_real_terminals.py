"""What people see in a real terminal: no line too wide, nothing that steers it, colours only where they are wanted."""

import sys
import unicodedata
from pathlib import Path

import pytest
from store_kit import Place, alert
from terminal_kit import Terminal, needs_tmux, overflowing, terminal

pytestmark = needs_tmux

VIETNAMESE = "Đăng nhập trái phép vào hệ thống một cửa điện tử của Sở Thông tin và Truyền thông " * 3
TITLES = (
    VIETNAMESE,
    unicodedata.normalize("NFD", VIETNAMESE),
    "\x1b]0;owned\x07\x1b[2J\u202eevil\u2066 \x9b31m\r\n" * 4,
    "系统登录失败 한국어 " * 12,
    "x" * 3000,
)
LOGTEST = [sys.executable, "-m", "socmon", "-q", "logtest"]
LINE = "Nov 22 10:00:00 máy-chủ sshd[7]: Failed password for {user} from 203.0.113.7 port 22 ssh2"
STEERS = ("\x1b]", "\x07", "\u202e", "\u2066", "\x9b")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    hostile = {"user": "\x1b[31mroot\u202e", "tên": "系统" * 16}
    place.put(*(alert(number, title=title, group=hostile) for number, title in enumerate(TITLES, 1)))
    return place


def seen(screen: Terminal, columns: int) -> list[str]:
    """The screen, on which nothing is too wide, and that nothing has steered."""
    lines = screen.screen()
    assert overflowing(lines, columns) == []
    assert not any(sign in screen.colored() for sign in STEERS)
    assert "owned" not in screen.title()
    return [line for line in lines if line]


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", ["list", "tail"])
def test_an_alert_is_one_line_however_narrow_the_terminal_and_long_its_title(
    place: Place, command: str, columns: int
) -> None:
    with terminal() as screen:
        screen.start(place.command("alerts", command), columns=columns)
        screen.ended()
        shown = seen(screen, columns)

    alerts = [line for line in shown if "0000000" in line]
    assert len(alerts) == len(TITLES)
    assert len(shown) == len(TITLES) + 1 + (command == "list")
    assert all(line.rstrip("…").strip() for line in alerts)


def test_what_follows_is_one_line_each_too(place: Place) -> None:
    with terminal() as screen:
        screen.start(place.command("tail", "-n", "1"))
        screen.shows("00000005")
        place.put(alert(9, title=TITLES[2]))
        screen.shows("00000009")
        shown = seen(screen, 80)
        screen.keys("C-c")
        ended = screen.ended()

    assert len(shown) == 2
    assert "[exit 130]" in "".join(ended)


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_colours_are_there_unless_they_are_declined(place: Place, no_color: str, colored: bool) -> None:
    with terminal() as screen:
        screen.start(place.command("alerts", "list"), NO_COLOR=no_color)
        screen.ended()

        assert ("\x1b[" in screen.colored()) is colored


@pytest.mark.parametrize("columns", [60, 200])
def test_logtest_asks_for_lines_and_breaks_what_it_says_at_the_edge(columns: int) -> None:
    with terminal() as screen:
        screen.start(LOGTEST, columns=columns, rows=80)
        screen.shows(">")
        for number, user in enumerate(("root", "系统" * 40), 1):
            screen.typed(LINE.format(user=user))
            screen.keys("Enter")
            screen.shows(f"{number} of ≥ 5 events")
        screen.keys("C-d")
        ended = "".join(screen.ended())
        shown = seen(screen, columns)

    assert "[exit 0]" in ended
    assert any(line.startswith("fields ") for line in shown)


# ── status --watch ───────────────────────────────────────────────────────────────────────────────────────────────────


def watching(place: Place) -> list[str]:
    return place.command("status", "--watch", "--interval", "0.2")


def test_watch_draws_in_place_and_leaves_the_last_picture(place: Place) -> None:
    with terminal() as screen:
        screen.start(watching(place))
        screen.shows("alerts: 5")
        assert screen.alternate()
        place.put(alert(9))
        shown = screen.shows("alerts: 6")
        seen(screen, 80)
        assert sum("alerts: " in line for line in shown) == 1  # one picture, not several
        screen.shows("total +1")
        screen.keys("C-c")
        ended = screen.ended()

        assert not screen.alternate()
    assert any("alerts: 6" in line for line in ended)
    assert "[exit 130]" in "".join(ended)


def test_watch_follows_a_resize_and_says_what_it_leaves_out(place: Place) -> None:
    with terminal() as screen:
        screen.start(watching(place), columns=200)
        screen.shows("alerts: 5")
        screen.resize(60, 6)
        screen.shows("lines more; make the window higher")
        seen(screen, 60)
        screen.resize(100, 30)
        screen.shows("DESTINATION")
        seen(screen, 100)


def test_watch_keeps_the_last_character_of_a_line_that_is_as_wide_as_the_terminal(place: Place) -> None:
    head = "2026-11-26 15:11:32 +00:00, every 0.2 s until Ctrl-C"
    with terminal() as screen:
        screen.start(watching(place), columns=len(head), rows=60)

        screen.shows("alerts: 5")
        assert screen.screen()[0].endswith("every 0.2 s until Ctrl-C")


def test_watch_goes_on_where_there_is_no_store_yet(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with terminal() as screen:
        screen.start(watching(place))
        screen.shows("there is no store")
        place.put(alert(1))
        shown = screen.shows("alerts: 1")

    assert not any("there is no store" in line for line in shown)


def test_watch_tells_a_configuration_that_breaks_and_goes_on_when_it_is_mended(place: Place) -> None:
    text = place.config.read_text()
    with terminal() as screen:
        screen.start(watching(place), columns=200)
        screen.shows("alerts: 5")
        place.config.write_text("state_dir: [\n")
        screen.shows("not valid YAML")
        place.config.write_text(text)
        screen.shows("alerts: 5")


def test_watch_colours_nothing_that_declines_them(place: Place) -> None:
    with terminal() as screen:
        screen.start(watching(place), NO_COLOR="1")
        screen.shows("alerts: 5")

        assert "\x1b[" not in screen.colored()
