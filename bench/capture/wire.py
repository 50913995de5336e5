"""A network namespace with two interfaces that are joined by a cable, where nobody else sends (veth(4))."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

SENDS, RECEIVES = "socmon-tx", "socmon-rx"
_numbers = count()


@functools.cache
def why_not() -> str:
    """Why there can be no namespace here; "" if there can."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if os.geteuid() or subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        return "only root can make network namespaces, and not in every container"
    return ""


@dataclass(frozen=True)
class Cable:
    """A namespace of that name; what goes into SENDS comes out of RECEIVES."""

    name: str

    def inside(self, *command: str) -> list[str]:
        """The command that becomes `command` in the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str) -> str:
        """Run a command there; its output."""
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[-500:]}")
        return done.stdout

    def replay(self, file: Path, *options: str) -> str:
        """Send the packets of a capture file; what tcpreplay says."""
        return self.run("tcpreplay", "-i", SENDS, *options, str(file))

    def received(self) -> int:
        """Packets that have come out, as the interface counts."""
        return int(self.run("cat", f"/sys/class/net/{RECEIVES}/statistics/rx_packets"))

    def capture(self, socket: Path, *options: str, log: Path) -> subprocess.Popen[bytes]:
        """A socmon-capture there that stays root, without any right; as nice as its unit lets it be."""
        command = [
            "nice",
            "-n",
            "-10",
            sys.executable,
            "-m",
            "socmon.capture",
            "-i",
            RECEIVES,
            "--socket",
            str(socket),
            "--sensor",
            "net1",
        ]
        with log.open("ab") as out:
            return subprocess.Popen(self.inside(*command, "--user", "root", *options), stdout=out, stderr=out)


@contextmanager
def cable() -> Iterator[Cable]:
    """A namespace of the caller's own, as long as the body runs."""
    made = Cable(f"socmon-{os.getpid()}-{next(_numbers)}")
    _ip("netns", "add", made.name)
    try:
        made.run("ip", "link", "add", SENDS, "type", "veth", "peer", "name", RECEIVES)
        for name in (SENDS, RECEIVES):
            made.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
            made.run("ip", "link", "set", name, "up")
        yield made
    finally:
        _ip("netns", "del", made.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
