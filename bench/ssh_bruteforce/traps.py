"""The traps: attackers of our own making, each with what must be said of it, and the innocent noise around them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Story = list[tuple[int, str]]
"""What one actor leaves in the log: (seconds after its start, the line behind the time stamp), in time order."""

HOSTS = ("gw-01", "mail-02", "db-03")


@dataclass(frozen=True)
class Attacker:
    """Writes the lines that sshd would write about one address."""

    address: str
    rng: Random
    host: str = HOSTS[0]

    def line(self, message: str, *, program: str = "sshd", host: str = "") -> str:
        """`message` as syslog writes it; the time stamp comes later."""
        return f"{host or self.host} {program}[{self.rng.randint(1000, 65000)}]: {message}"

    def failure(self, who: str = "root", method: str = "password", key: str = "") -> str:
        """The message alone. `who` is all that stands between "for" and "from"."""
        return f"Failed {method} for {who} from {self.address} port {self.rng.randint(1024, 65535)} ssh2{key}"

    def failed(self, who: str = "root", method: str = "password", key: str = "") -> str:
        """One failure; arguments as of `failure`."""
        return self.line(self.failure(who, method, key))

    def repeated(self, times: int, who: str = "root") -> str:
        """What a syslog daemon writes instead of the same failure `times` times."""
        return self.line(f"message repeated {times} times: [ {self.failure(who)}]")

    def fails_at(self, *seconds: int) -> Story:
        """One failure at each of `seconds`, which only grow."""
        return [(second, self.failed()) for second in seconds]

    def forged(self) -> str:
        """An address to hide behind; nobody in the log has it."""
        return f"10.{self.rng.randrange(256)}.{self.rng.randrange(256)}.{self.rng.randrange(1, 255)}"

    def elsewhere(self) -> str:
        """A failure on another host of the same log."""
        return self.line(self.failure(), host="vpn-04")


@dataclass(frozen=True)
class Trap:
    """A way of attacking, and whether it makes an offender: five failures within 60 s, both ends included."""

    name: str
    offends: bool
    story: Callable[[Attacker], Story]


def _guilty(name: str, story: Callable[[Attacker], Story]) -> Trap:
    return Trap(name, offends=True, story=story)


def _innocent(name: str, story: Callable[[Attacker], Story]) -> Trap:
    return Trap(name, offends=False, story=story)


def _every(seconds: int, times: int) -> range:
    return range(0, seconds * times, seconds)


def _repeat(times: int) -> Trap:
    return Trap(f"one line repeated {times} times", offends=times >= 5, story=lambda a: [(0, a.repeated(times))])


def _said(message: str, *, program: str = "sshd") -> Trap:
    """Eight lines in eight seconds that are no failure of sshd; `{line}` in `message` is one that would be."""

    def story(a: Attacker) -> Story:
        said = (message.format(address=a.address, line=a.failure()) for _ in range(8))
        return [(second, a.line(one, program=program)) for second, one in enumerate(said)]

    return _innocent(f"not a failure: {program} {message}", story)


_BOUNDARY = [
    _guilty("the fifth at 60 s", lambda a: a.fails_at(0, 15, 30, 45, 60)),
    _innocent("the fifth at 61 s", lambda a: a.fails_at(0, 15, 30, 45, 61)),
    _guilty("one, then four 60 s later", lambda a: a.fails_at(0, 60, 60, 60, 60)),
    _innocent("one, then four 61 s later", lambda a: a.fails_at(0, 61, 61, 61, 61)),
    _guilty("four, then one 60 s later", lambda a: a.fails_at(0, 0, 0, 0, 60)),
    _innocent("four, then one 61 s later", lambda a: a.fails_at(0, 0, 0, 0, 61)),
    _guilty("a burst of five", lambda a: a.fails_at(0, 2, 5, 9, 14)),
    _innocent("a burst of four", lambda a: a.fails_at(0, 2, 5, 9)),
    _guilty("five in one second", lambda a: a.fails_at(0, 0, 0, 0, 0)),
    _innocent("four in one second", lambda a: a.fails_at(0, 0, 0, 0)),
    _innocent("bursts of four, 61 s apart", lambda a: a.fails_at(*sorted(4 * [*_every(61, 6)]))),
    _innocent("four a minute for a while, evenly", lambda a: a.fails_at(*_every(16, 40))),
    _innocent("four a minute for a while, one each 20 s", lambda a: a.fails_at(*_every(20, 40))),
    _guilty("one each 15 s", lambda a: a.fails_at(*_every(15, 8))),
    _guilty("slow, then fast", lambda a: a.fails_at(*_every(20, 9), 165, 170)),
    _guilty("two bursts, an hour apart", lambda a: a.fails_at(0, 1, 2, 3, 4, 3600, 3601, 3602, 3603, 3604)),
]

_REPEATS = [
    *(_repeat(times) for times in range(2, 21)),
    _guilty("one, then repeated 4 times", lambda a: [(0, a.failed()), (9, a.repeated(4))]),
    _innocent("one, then repeated 3 times", lambda a: [(0, a.failed()), (9, a.repeated(3))]),
    _guilty("two, then repeated 3 times at 60 s", lambda a: [*a.fails_at(0, 0), (60, a.repeated(3))]),
    _innocent("two, then repeated 3 times at 61 s", lambda a: [*a.fails_at(0, 0), (61, a.repeated(3))]),
    _guilty("repeated 4 times, then one at 60 s", lambda a: [(0, a.repeated(4)), (60, a.failed())]),
    _innocent("repeated 4 times, then one at 61 s", lambda a: [(0, a.repeated(4)), (61, a.failed())]),
    _innocent("repeated 4 times, each 61 s", lambda a: [(start, a.repeated(4)) for start in _every(61, 5)]),
]


def _names(pattern: str, times: int) -> Callable[[Attacker], Story]:
    """`times` failures in as many seconds; `{forged}` in the user's name is another address each time."""
    return lambda a: [(second, a.failed(pattern.format(forged=a.forged()))) for second in range(times)]


_FORGED = "invalid user x from {forged} port 22 ssh2"
_WRAPPED = "invalid user message repeated 9 times: [ Failed password for root from {forged} port 22 ssh2]"

_FORGERIES = [
    _guilty("five with an address in the name", _names(_FORGED, 5)),
    _innocent("four with an address in the name", _names(_FORGED, 4)),
    _innocent("four with a repeat in the name", _names(_WRAPPED, 4)),
    _guilty("five with a repeat in the name", _names(_WRAPPED, 5)),
    _guilty("an address in the name, repeated", lambda a: [(0, a.repeated(6, _FORGED.format(forged=a.forged())))]),
    _guilty("a name that is a host and a port", _names("invalid user from ::1 port 22 ssh2: RSA SHA256:AAAA", 5)),
    _guilty("the name is: from", _names("invalid user from", 5)),
    _guilty("the name is empty", _names("invalid user ", 5)),
    _guilty("the name starts with a space", _names("invalid user  0101", 5)),
    _guilty("the name is ]", _names("invalid user ]", 5)),
]


def _framed(a: Attacker) -> Story:
    """Were the name believed, the victim would be the offender and the attacker none."""
    victim = a.forged()
    return [(second, a.failed(_FORGED.format(forged=victim))) for second in range(5)]


_METHODS = [
    _guilty("one victim in all five names", _framed),
    _guilty("with keys", lambda a: [(s, a.failed(method="publickey", key=": RSA SHA256:vX9k")) for s in range(5)]),
    _guilty("through PAM", lambda a: [(s, a.failed(method="keyboard-interactive/pam")) for s in range(5)]),
    _guilty("none at all", lambda a: [(s, a.failed("invalid user 0", method="none")) for s in range(5)]),
    _guilty("OpenSSH 9.8", lambda a: [(s, a.line(a.failure(), program="sshd-session")) for s in range(5)]),
    _guilty("three here, two there", lambda a: [*a.fails_at(0, 1, 2), (3, a.elsewhere()), (4, a.elsewhere())]),
    _innocent("three here, one there", lambda a: [*a.fails_at(0, 1, 2), (3, a.elsewhere())]),
]

_NOT_FAILURES = [
    _said("Invalid user admin from {address} port 40022"),
    _said("Invalid user {line}"),
    _said(
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}  user=root"
    ),
    _said("PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}  user=root"),
    _said("error: maximum authentication attempts exceeded for root from {address} port 40022 ssh2 [preauth]"),
    _said("Connection closed by authenticating user root {address} port 40022 [preauth]"),
    _said("Accepted password for backup from {address} port 40022 ssh2"),
    _said("Bad protocol version identification '{line}' from {address} port 40022"),
    _said("{line}", program="ftpd"),
    _said("    op1 : TTY=pts/0 ; PWD=/home/op1 ; USER=root ; COMMAND=/bin/echo sshd[1]: {line}", program="sudo"),
    _said("(op1) CMD (/usr/bin/logger -t sshd '{line}')", program="CRON"),
]

TRAPS = [*_BOUNDARY, *_REPEATS, *_FORGERIES, *_METHODS, *_NOT_FAILURES]

_NOISE = (
    "sudo[{n}]: pam_unix(sudo:session): session opened for user root(uid=0) by op{n}(uid=1000)",
    "sudo[{n}]:    op1 : TTY=pts/{n} ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl restart web",
    "CRON[{n}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
    "CRON[{n}]: (root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.hourly)",
    "CRON[{n}]: pam_unix(cron:session): session closed for user root",
    "systemd-logind[{n}]: New session {n} of user backup.",
    "sshd[{n}]: Server listening on 0.0.0.0 port 22.",
    "sshd[{n}]: Accepted publickey for backup from 192.0.2.10 port {n} ssh2: ED25519 SHA256:q8yW",
    "sshd[{n}]: pam_unix(sshd:session): session opened for user backup(uid=34) by (uid=0)",
    "sshd[{n}]: Received disconnect from 192.0.2.10 port {n}:11: disconnected by user",
    "kernel: [{n}.000000] eth0: link up",
    "dbus-daemon[{n}]: [system] Successfully activated service 'org.freedesktop.hostname1'",
)


def noise(rng: Random) -> str:
    """A line that no rule about sshd may count."""
    return f"{rng.choice(HOSTS)} {rng.choice(_NOISE).format(n=rng.randint(1000, 65000))}"
