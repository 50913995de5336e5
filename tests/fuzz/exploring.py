"""One fuzz target for some time, as a process of its own: new examples of its strategies, then changed ones of these.

Strategies are those of the property tests in `test_fuzz_X.py`. Where `one_input` takes bytes, half of the time goes to
atheris, which looks for inputs that reach new code; where that is not installed, to random changes.
"""

import argparse
import importlib
import importlib.util
import inspect
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from fuzz.findings import keep
from hypothesis import HealthCheck, Phase, settings

HANG_S = float(os.environ.get("SOCMON_FUZZ_HANG_S", "10"))  # of the processor's time for one input
_CORPUS = 100
_EXAMPLES = 100  # between two looks at the clock
_MAX_BYTES = 4096
_WORDS = (
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b'"',
    b"\\",
    b"\xff",
    b"{",
    b"[",
    b"]",
    b"}",
    b",",
    b":",
    b"=",
    b"%",
    b"-1",
    b"4294967296",
)


class HangError(BaseException):
    """An input takes no end. No Exception, so that what is tested cannot swallow it."""


class Explorer:
    """Calls `one_input` of a target, and keeps what it fails on.

    Attributes:
        inputs: how many there were.
        found: files of findings.
        corpus: some of the inputs.
    """

    def __init__(self, target: ModuleType, folder: Path, end_s: float) -> None:
        self.inputs = 0
        self.found: set[str] = set()
        self.corpus: list[bytes] = []
        self.end_s = end_s
        self._one_input: Callable[..., None] = target.one_input
        self._name = target.__name__.rpartition(".")[2]
        self._folder = folder
        self._last: tuple[Any, ...] = ()
        signal.signal(signal.SIGVTALRM, _hang)

    def call(self, *arguments: Any) -> None:
        """As `one_input`, with a limit of time."""
        self.inputs += 1
        self._last = arguments
        if len(arguments) == 1 and isinstance(arguments[0], bytes):
            self._remember(arguments[0])
        signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
        try:
            self._one_input(*arguments)
        except HangError as error:
            self.note(error)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def note(self, error: BaseException) -> None:
        """The last input is a finding; without one it is the test that is broken."""
        if not self._last:
            raise error
        said = f"{type(error).__name__}: {error}"
        self.found.add(str(keep(self._folder, self._name, self._last, said)))

    def left_s(self) -> float:
        return self.end_s - time.monotonic()

    def _remember(self, data: bytes) -> None:
        if len(self.corpus) < _CORPUS:
            self.corpus.append(data[:_MAX_BYTES])
        elif random.random() < 0.05:
            self.corpus[random.randrange(_CORPUS)] = data[:_MAX_BYTES]


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError(f"more than {HANG_S:g} s of the processor for one input")


def by_strategies(explorer: Explorer, tests: ModuleType) -> None:
    """Run the property tests of `tests` with new examples, in turn, until the time is over."""
    tests.one_input = explorer.call  # type: ignore[attr-defined]  # which the tests look up when they call it
    every = settings(
        max_examples=_EXAMPLES, deadline=None, derandomize=False, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    properties = list(_properties(tests))
    while properties and explorer.left_s() > 0:
        for each in properties:
            each._hypothesis_internal_use_settings = every
            try:
                each()
            except Exception as error:  # noqa: BLE001  whatever a target raises is a finding
                explorer.note(error)
            if explorer.left_s() <= 0:
                return


def _properties(tests: ModuleType) -> Iterator[Any]:
    for name, value in vars(tests).items():
        if name.startswith("test_") and getattr(value, "is_hypothesis_test", False):
            marks = getattr(value, "pytestmark", [])
            if not any(mark.name == "parametrize" for mark in marks):
                yield value


def by_changes(explorer: Explorer) -> None:
    """Change what strategies have made, until the time is over."""
    corpus = list(explorer.corpus) or [b""]
    while explorer.left_s() > 0:
        for _ in range(_EXAMPLES):
            try:
                explorer.call(_changed(random.choice(corpus), corpus))
            except Exception as error:  # noqa: BLE001  whatever a target raises is a finding
                explorer.note(error)


def _changed(data: bytes, corpus: list[bytes]) -> bytes:
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((0, 1, 2, 8, 40)))
        other = random.choice(corpus)
        begin = random.randint(0, len(other))
        instead = random.choice(
            (b"", random.randbytes(random.randint(1, 4)), random.choice(_WORDS) * random.choice((1, 1, 2, 50)),
             other[begin : begin + random.choice((1, 8, 100))], data[at:end] * random.choice((2, 20)))
        )  # fmt: skip
        data = data[:at] + instead + data[end:]
    return data[:_MAX_BYTES]


def by_coverage(explorer: Explorer, module: str, work: Path) -> None:
    """Let atheris go on from what strategies have made, in a process of its own: it instruments what it imports."""
    seeds = work / "corpus"
    seeds.mkdir(parents=True)
    for number, data in enumerate(explorer.corpus):
        (seeds / str(number)).write_bytes(data)
    while explorer.left_s() > 1:
        command = [sys.executable, "-m", "fuzz.covering", module, str(seeds), f"-artifact_prefix={work}/"]
        limits = [f"-max_total_time={int(explorer.left_s())}", f"-timeout={int(3 * HANG_S)}", f"-max_len={_MAX_BYTES}"]
        done = _ended([*command, *limits], explorer.left_s() + 3 * HANG_S)
        runs = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("Done ")]
        explorer.inputs += int(runs[-1]) if runs else 0
        artifacts = [path for path in work.iterdir() if path.is_file()]
        for path in artifacts:
            _judge(explorer, path.read_bytes(), done.stderr)
            path.unlink()
        if not artifacts:
            return


def _ended(command: list[str], timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """It looks at the clock only when it has been through its corpus, which a slow machine may not be in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 0, "", "")


def _judge(explorer: Explorer, data: bytes, said: str) -> None:
    """What atheris stopped at, once more here; it is a finding in any case."""
    try:
        explorer.call(data)
    except Exception as error:  # noqa: BLE001  whatever a target raises is a finding
        explorer.note(error)
    else:
        explorer.note(RuntimeError(f"failed under atheris only: {said[-1000:]}"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    package, _, name = given.module.rpartition(".")
    target = importlib.import_module(given.module)
    tests = importlib.import_module(f"{package}.test_{name}")
    begun_s = time.monotonic()
    takes_bytes = [each.annotation for each in inspect.signature(target.one_input).parameters.values()] == [bytes]
    explorer = Explorer(target, given.findings, begun_s + given.seconds * (0.5 if takes_bytes else 1))
    by_strategies(explorer, tests)
    if takes_bytes:
        explorer.end_s = begun_s + given.seconds
        if importlib.util.find_spec("atheris"):
            by_coverage(explorer, given.module, given.work)
        else:
            by_changes(explorer)
    seconds = time.monotonic() - begun_s
    print(json.dumps({"inputs": explorer.inputs, "seconds": seconds, "found": sorted(explorer.found)}))


if __name__ == "__main__":
    main()
