"""Words of the standards that the feed speaks: OCSF 1.8 numbers, ATT&CK tactics, the ENISA incident taxonomy (RSIT)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from socmon.event import Level

# OCSF severity_id. A rule for a blocked attempt is medium (3), for an attack that succeeded critical (5).
SEVERITY: Mapping[Level, int] = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
FATAL = 6

# Levels that must not wait behind a backlog travel in a stream of their own.
URGENT: frozenset[Level] = frozenset({"high", "critical"})

# ATT&CK Enterprise, as Sigma writes it in `attack.…` tags.
TACTICS: Mapping[str, tuple[str, str]] = {
    "reconnaissance": ("TA0043", "Reconnaissance"),
    "resource-development": ("TA0042", "Resource Development"),
    "initial-access": ("TA0001", "Initial Access"),
    "execution": ("TA0002", "Execution"),
    "persistence": ("TA0003", "Persistence"),
    "privilege-escalation": ("TA0004", "Privilege Escalation"),
    "defense-evasion": ("TA0005", "Defense Evasion"),
    "credential-access": ("TA0006", "Credential Access"),
    "discovery": ("TA0007", "Discovery"),
    "lateral-movement": ("TA0008", "Lateral Movement"),
    "collection": ("TA0009", "Collection"),
    "command-and-control": ("TA0011", "Command and Control"),
    "exfiltration": ("TA0010", "Exfiltration"),
    "impact": ("TA0040", "Impact"),
}

# ATT&CK technique → RSIT class and type; what is not listed is left undetermined rather than guessed.
RSIT: Mapping[str, str] = {
    "T1046": "information-gathering/scanner",
    "T1110": "intrusion-attempts/brute-force",
    "T1190": "intrusion-attempts/exploit",
    "T1486": "malicious-code/infected-system",
    "T1498": "availability/ddos",
    "T1499": "availability/dos",
    "T1566": "fraud/phishing",
    "T1595": "information-gathering/scanner",
}
UNDETERMINED = "other/undetermined"
TEST = "test/test"  # "meant for testing"

# The tag of the rule behind `socmon alerts test`; its alerts say at the centre that they are none.
TEST_TAG = "socmon.test"


def stream_of(level: Level) -> str:
    """`urgent` for high and critical, else `normal`."""
    return "urgent" if level in URGENT else "normal"


def severity(level: Level, system_level: int | None) -> int:
    """OCSF severity_id: by the rule's level; a system of level 4 or 5 adds one."""
    return min(SEVERITY[level] + (system_level is not None and system_level >= 4), FATAL)


def techniques(tags: Sequence[str]) -> list[str]:
    """ATT&CK techniques of Sigma tags, `T1110` or `T1110.001`, in their order."""
    names = (tag.removeprefix("attack.").upper() for tag in tags if tag.startswith("attack."))
    return [name for name in names if name[:1] == "T" and name[1:5].isdigit()]


def tactics(tags: Sequence[str]) -> list[dict[str, str]]:
    """OCSF tactic objects of Sigma tags; older rules write `_` for `-`."""
    slugs = (tag.removeprefix("attack.").replace("_", "-") for tag in tags if tag.startswith("attack."))
    return [{"uid": uid, "name": name} for uid, name in (TACTICS[slug] for slug in slugs if slug in TACTICS)]


def rsit(tags: Sequence[str]) -> str:
    """`class/type` of the first technique that has one; that of tests for a test alert."""
    return _rsit(tuple(tags))


@lru_cache(maxsize=1024)  # of each rule again and again
def _rsit(tags: tuple[str, ...]) -> str:
    if TEST_TAG in tags:
        return TEST
    known = (RSIT[name.partition(".")[0]] for name in techniques(tags) if name.partition(".")[0] in RSIT)
    return next(known, UNDETERMINED)
