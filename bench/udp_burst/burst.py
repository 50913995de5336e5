"""One burst against one daemon, and whether all of it is accounted for."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.udp_burst import daemon

SENDER = Path(__file__).with_name("sender.py")
WISHED_BYTES = 8 * 1024 * 1024
LEAST_EVALUATED = 0.95
_SETTLE_S = 120.0


@dataclass(frozen=True)
class Burst:
    """What became of one burst; all counts from the journal, the ledger and the store.

    Attributes:
        took_s: seconds in which it was sent.
        cpu_s: seconds of the processor that the daemon got meanwhile.
        settled_s: seconds from the end of sending until all was evaluated and stored.
        receive_buffer_bytes: that the kernel gave, in the unit of SO_RCVBUF.
        repeated: messages that are in the journal more than once, or out of order.
        matched: events of the alerts of the benchmark's rule.
        dropped: by reason.
    """

    sent: int
    took_s: float
    cpu_s: float
    settled_s: float
    message_bytes: int
    receive_buffer_bytes: int
    journalled: int
    repeated: int
    evaluated: int
    matched: int
    in_flight: int
    dropped: dict[str, int]

    @property
    def unaccounted(self) -> int:
        """Sent, and neither in the journal nor counted as dropped."""
        return self.sent - self.journalled - sum(self.dropped.values())

    @property
    def problems(self) -> list[str]:
        """What was required and is not so."""
        wrong = {
            "unaccounted": self.unaccounted,
            "repeated or out of order": self.repeated,
            "in flight": self.in_flight,
            "journalled and not evaluated": self.journalled - self.evaluated,
            "evaluated and not matched": self.evaluated - self.matched,
        }
        found = [f"{count} {what}" for what, count in wrong.items() if count]
        if self.receive_buffer_bytes >= WISHED_BYTES and self.evaluated < LEAST_EVALUATED * self.sent:
            found.append(f"only {self.evaluated / self.sent:.1%} evaluated")
        return found


def burst(messages: int, seconds: float, work: Path) -> Burst:
    """Send `messages` within `seconds` to a daemon of its own, with its state in `work`.

    Raises:
        RuntimeError: the daemon ended by itself, did not start, or did not stop when asked.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with daemon.running(work) as (listening, process):
        command = [sys.executable, str(SENDER), str(listening["port"]), str(messages), str(seconds)]
        before_s = daemon.cpu_s(process)
        said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_SETTLE_S).stdout)
        ended_s, cpu_s = time.monotonic(), daemon.cpu_s(process) - before_s
        daemon.wait_for(lambda: daemon.account(work).received >= messages, _SETTLE_S)
        settled_s = time.monotonic() - ended_s
    account, numbers = daemon.account(work), daemon.journalled(work)
    return Burst(
        sent=said["sent"],
        took_s=said["took_s"],
        cpu_s=cpu_s,
        settled_s=settled_s,
        message_bytes=said["bytes"],
        receive_buffer_bytes=listening["receive_buffer_bytes"],
        journalled=len(numbers),
        repeated=len(numbers) - sum(1 for at, number in enumerate(numbers) if not at or number > numbers[at - 1]),
        evaluated=account.evaluated,
        matched=daemon.matched(work),
        in_flight=account.in_flight,
        dropped=dict(sorted(account.dropped.items())),
    )
