"""Replay: old logs, or the journal's archive, through the real engine; with no daemon, no store and no clock."""

from socmon.replaying.archive import ArchiveReplay
from socmon.replaying.files import LATENESS_S, PCAP, STDIN, Reading, Replay
from socmon.replaying.run import Found, Matching, Place, Run, inline

__all__ = [
    "LATENESS_S",
    "PCAP",
    "STDIN",
    "ArchiveReplay",
    "Found",
    "Matching",
    "Place",
    "Reading",
    "Replay",
    "Run",
    "inline",
]
