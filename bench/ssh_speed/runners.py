"""Who races: socmon with one rule and with 1,000, SEC with one and with 200, and a script of one regular expression."""

import hashlib
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.ssh_bruteforce import exact
from bench.ssh_bruteforce.speed import SEC_RULE, TRUTH
from socmon.sigma import load_rules

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SOCMON_DATA", ROOT / "../shared/data"))
MIXED = 1_000
SEC_MANY = 200

ONE = "socmon, 1 rule"
MANY = "socmon, 1,000 rules"
SEC = "SEC, 1 rule"
SEC_OF_MANY = f"SEC, {SEC_MANY} rules"
SCRIPT = "truth script"


class Runner(NamedTuple):
    """A command but for its log, which is named behind `log_option`."""

    name: str
    command: tuple[str, ...]
    log_option: str = ""

    def on(self, log: Path) -> list[str]:
        """The command that reads `log`."""
        return [*self.command, f"{self.log_option}{log}"]


def runners(work: Path) -> list[Runner]:
    """All that can race here: SEC where it is installed, 1,000 rules where SigmaHQ's are."""
    found = [
        Runner(SCRIPT, (sys.executable, str(TRUTH))),
        Runner(ONE, _replay(_own_rule(work / "one"))),
    ]
    if mixed := _mixed_rules(work / "mixed"):
        found.append(Runner(MANY, _replay(mixed)))
    if sec := shutil.which("sec"):
        found += [
            Runner(SEC, (sec, f"--conf={_written(work / 'one.sec', SEC_RULE)}", "--notail", "--debug=1"), "--input="),
            Runner(SEC_OF_MANY, (sec, f"--conf={_many_sec_rules(work)}", "--notail", "--debug=1"), "--input="),
        ]
    return found


def _replay(rules: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "socmon", "replay", "-o", "ndjson", "--rules", str(rules))


def _own_rule(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(exact.SHIPPED_RULE, folder)
    return folder


def _mixed_rules(folder: Path) -> Path | None:
    """Our rule and 1,000 of SigmaHQ's, of all log sources: the first by the digest of their names that load."""
    archive = DATA / "logs" / "sigma" / "sigmahq_rules.tar.xz"
    if not archive.is_file():
        return None
    _own_rule(folder)
    taken = 0
    for _, content in sorted(_files(archive), key=lambda file: hashlib.sha256(file[0].encode()).digest()):
        file = folder / f"{taken:04}.yml"
        file.write_bytes(content)
        loaded = load_rules([file])
        if loaded.errors or len(loaded.rules) != 1:
            file.unlink()
            continue
        taken += 1
        if taken == MIXED:
            break
    return folder


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as members:
        for member in members:
            if member.isfile() and member.name.endswith(".yml") and (stream := members.extractfile(member)):
                yield member.name, stream.read()


def _many_sec_rules(work: Path) -> Path:
    """Ours behind 199 others of its kind, none of which fits a line."""
    others = (SEC_RULE.replace("sshd", f"program{n}") for n in range(SEC_MANY - 1))
    return _written(work / "many.sec", "\n".join([*others, SEC_RULE]))


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
