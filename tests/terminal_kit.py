"""A real terminal for tests: tmux on a socket of its own, where it is installed (tests/needs)."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from field import wait_for
from store_kit import clean
from wcwidth import wcswidth

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed; see tests/needs")


class Terminal:
    """One window of `columns` × `rows`, in which a command runs."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "s"

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), "-f", "/dev/null", *words]
        done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=clean() | {"LC_ALL": "C.UTF-8"})
        return done.stdout.decode()

    def start(self, command: Sequence[str], *, columns: int = 80, rows: int = 24, **environment: str) -> None:
        """Run `command`; the window stays when it has ended, and shows the exit code."""
        told = environment | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
        words = [
            "env",
            "-u",
            "NO_COLOR",
            "-u",
            "COLUMNS",
            "-u",
            "LINES",
            *(f"{name}={value}" for name, value in told.items()),
            *command,
        ]
        # The shell hears Ctrl-C too, and must live to tell how the command ended.
        line = f'trap : INT; {shlex.join(words)}; echo "[exit $?]"; exec cat >/dev/null'
        # The window is as large as it is told to be, whoever looks at it.
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), f"sh -c {shlex.quote(line)}")
        self._tmux("set-option", "-g", "status", "off")

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux("send-keys", *keys)

    def typed(self, text: str) -> None:
        """Type `text` as it stands."""
        self._tmux("send-keys", "-l", "--", text)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> list[str]:
        """The lines that stand on it, without colours."""
        return self._tmux("capture-pane", "-p").splitlines()

    def colored(self) -> str:
        """The same with its colours, as escapes."""
        return self._tmux("capture-pane", "-p", "-e")

    def title(self) -> str:
        """What a program has called the window."""
        return self._tmux("display-message", "-p", "#{pane_title}").strip()

    def shows(self, text: str) -> list[str]:
        """Wait until `text` stands on the screen; the screen then."""
        found: list[str] = []

        def there() -> bool:
            found[:] = self.screen()
            return any(text in line for line in found)

        wait_for(there, f"{text!r} on the screen")
        return found

    def begun(self) -> None:
        """Wait until anything stands on the screen: of a shell, its prompt."""
        wait_for(lambda: any(line.strip() for line in self.screen()), "a prompt")

    def ended(self) -> list[str]:
        """Wait for the end of the command; the screen then, the exit code in its last line."""
        return self.shows("[exit ")

    def alternate(self) -> bool:
        """Whether a program has taken the whole screen."""
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A terminal that is gone afterwards, with all that runs in it."""
    folder = Path(tempfile.mkdtemp(prefix="socmon-tmux-"))  # a socket's path is short
    screen = Terminal(folder)
    try:
        yield screen
    finally:
        if (folder / "s").exists():
            screen._tmux("kill-server")
        shutil.rmtree(folder, ignore_errors=True)


def overflowing(lines: Sequence[str], columns: int) -> list[str]:
    """Lines that are wider than `columns`."""
    return [line for line in lines if wcswidth(line) > columns]
