"""Why socmon and the oracle differ: one class a difference, the first that fits."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from bench.conformance import logs

OTHER = "not classified"


class Class(Struct, frozen=True):
    """A reason to differ, and the differences that it explains."""

    name: str
    reason: str
    fits: Callable[[logs.Row], bool]


CLASSES = (
    Class(
        "a kernel's clock inside the line",
        "Something has put `kernel:[  970.699396]` before sshd's own words. That is no form of sshd.",
        lambda row: row.expected and "kernel:" in row.line,
    ),
    Class(
        "the host stands on another line",
        "The line says that somebody was refused and not whom. fail2ban remembers the connection by its process id; no"
        " rule of ours matches an event that names nobody, since no correlation could use it.",
        lambda row: row.expected and not row.matched and not row.found and not row.stated,
    ),
    Class(
        "a key was refused",
        "`Failed publickey` is a refused attempt (OpenSSH, auth.c, auth_log), and ours to count; fail2ban waits whether"
        " another key of the same connection is accepted. One alone alerts nobody: five within a minute do.",
        lambda row: not row.expected and "Failed publickey" in row.line,
    ),
    Class(
        "a connection ended before the login",
        "fail2ban counts it in its aggressive modes only; ours feeds the rule SSH probing, twenty within five minutes.",
        lambda row: not row.expected and row.action == "disconnected_preauth",
    ),
    Class(
        "another filter of the oracle counts it",
        "The server did refuse the request. The filter under test leaves it to another one of the oracle's.",
        lambda row: not row.expected and row.service == "apache",
    ),
    Class(
        "the last words of a hasty client",
        "fail2ban forgives a QUIT that comes too early; ours counts any improper pipelining, twenty in ten minutes.",
        lambda row: not row.expected and row.action == "pipelining",
    ),
    Class(
        "two readings of one line",
        "`Failed password for invalid user X from A port N ssh2: from B port M ssh2`: sshd ends a password's line with"
        " `ssh2` (auth.c, auth_log), so B is the client and the rest is the user's name. fail2ban takes A.",
        lambda row: row.host_differs and row.matched,
    ),
    Class(
        "a success that ends a series of failures",
        "fail2ban bans for the failures before it. A success is no failure; the rule SSH login after a series of"
        " failures takes it for what it is.",
        lambda row: row.expected and row.action == "success",
    ),
    Class(
        "PAM's line about an attempt that sshd counts itself",
        "One attempt has one outcome, and sshd's own line has it (docs/adr/0017-one-attempt-one-outcome.md).",
        lambda row: row.expected and "pam_unix(sshd:" in row.line,
    ),
    Class(
        "a TLS handshake that failed",
        "fail2ban counts it in its aggressive mode; old clients and health checks do so all day, so no rule does.",
        lambda row: row.expected and row.action == "tls_failed",
    ),
    Class(
        "only DNS can tell",
        "A false Googlebot is known by the name of its address. socmon asks no name server while it parses.",
        lambda row: row.expected and "Googlebot" in row.line,
    ),
    Class(
        "a connection that ended, and nothing more",
        "fail2ban knows from earlier lines that no login came before. The line itself is that of any end of a session.",
        lambda row: row.expected and row.action == "disconnected",
    ),
)


def classified(judged: Sequence[logs.Row]) -> dict[str, list[logs.Row]]:
    """Every difference, by class, in the order of the classes; what none explains stands under OTHER, at the end."""
    found: dict[str, list[logs.Row]] = {name: [] for name in (*(each.name for each in CLASSES), OTHER)}
    for row in judged:
        if row.differs or row.host_differs:
            name = next((each.name for each in CLASSES if each.fits(row)), OTHER)
            found[name].append(row)
    return {name: rows for name, rows in found.items() if rows}


def both_ways(judged: Sequence[logs.Row]) -> int:
    """How many of the differences are of lines that the oracle, by its modes, judges both ways."""
    told: dict[str, set[bool]] = {}
    for row in judged:
        told.setdefault(row.line, set()).add(row.expected)
    return sum(row.differs and len(told[row.line]) > 1 for row in judged)
