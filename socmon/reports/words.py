"""The words of a report for what the data hold as codes, in both languages (the laws' words where they have one)."""

from collections.abc import Mapping

from socmon.i18n import mark

TITLES: Mapping[str, str] = {
    "first": mark("Initial notice of a cybersecurity incident"),
    "detailed": mark("Report of a cybersecurity incident"),
    "final": mark("Final report of a cybersecurity incident"),
}
DEADLINES: Mapping[str, str] = {
    "first": mark("Initial notice ({hours} h)"),
    "at_once": mark("Initial notice, at once"),
    "detailed": mark("Incident report: cause, scope, remedy ({hours} h)"),
    "final": mark("Final report ({hours} h)"),
}
STATES: Mapping[str, str] = {
    "met": mark("told in time"),
    "late": mark("told, but too late"),
    "open": mark("not told yet, still in time"),
    "missed": mark("NOT TOLD, OVERDUE"),
    "none": mark("nothing is due"),
    "unknown": mark("COULD NOT BE LOOKED UP: the configuration cannot be read"),
}
BECAUSE: Mapping[str, str] = {
    "level": mark("by the configuration, nothing is due for an alert of this level"),
    "test": mark("nothing is due: this is a test of the way of alerts, and no incident"),
    "own": mark("nothing is due: this is an alarm of socmon's own, of a report that is due"),
    "not_an_incident": mark("nothing is due: it was looked at, and is no incident"),
    "unknown": mark("whether anything is due for an alert of this level could not be looked up"),
}
KNOWN: Mapping[str, str] = {
    "received": mark("when the log record that opened it was received"),
    "detected": mark("when socmon detected it; nobody wrote down when its log record was received"),
    "first_event": mark("when its first event happened; nobody wrote down when it was detected"),
}
PARTS: Mapping[str, str] = {
    "cause": mark("Cause"),
    "scope": mark("Scope of impact"),
    "remedy": mark("Remedy"),
}
# RSIT (ENISA), by class and by type; what is not here is shown by its code.
CLASSES: Mapping[str, str] = {
    "information-gathering": mark("Information gathering"),
    "scanner": mark("Scanning"),
    "intrusion-attempts": mark("Intrusion attempts"),
    "brute-force": mark("Brute force"),
    "exploit": mark("Exploitation of a vulnerability"),
    "malicious-code": mark("Malicious code"),
    "infected-system": mark("Infected system"),
    "availability": mark("Availability"),
    "ddos": mark("Distributed denial of service (DDoS)"),
    "dos": mark("Denial of service (DoS)"),
    "fraud": mark("Fraud"),
    "phishing": mark("Phishing"),
    "other": mark("Other"),
    "undetermined": mark("Undetermined"),
    "test": mark("Test"),
}
ENTITIES: Mapping[str, str] = {
    "ip": mark("IP address"),
    "user": mark("Account"),
    "host": mark("Host"),
    "domain": mark("Domain"),
    "hash": mark("File hash"),
    "agency": mark("Agency"),
}
REASONS: Mapping[str, str] = {
    "tp": mark("true positive"),
    "fp": mark("false positive"),
    "benign": mark("benign"),
    "duplicate": mark("duplicate"),
}

# What became of a release, or holds it, where the word is one of ours: in English as the documentation has it. A
# destination may have others.
ANSWERS = {
    "waits for approval": mark("waits for approval"),
    "withdrawn": mark("withdrawn"),
    "dropped": mark("dropped"),
    "accepted": mark("accepted"),
    "stored": mark("stored"),
    "duplicate": mark("duplicate"),
    "stale": mark("stale"),
    "parted": mark("parted"),
    "replaced": mark("replaced"),
    "oversize": mark("oversize"),
    "damaged": mark("damaged"),
    "injected": mark("injected"),
    "TLP:RED never leaves": mark("TLP:RED never leaves"),
}
STREAMS = {"urgent": mark("urgent"), "normal": mark("normal")}
