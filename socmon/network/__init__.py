"""From packets to Zeek's events: headers, flows, protocols, capture files; pure, its only clock the packets' time."""

from socmon.network.analysis import Analysis
from socmon.network.capture_file import read_capture
from socmon.network.limits import Counts, Limits
from socmon.network.rare import prepare

__all__ = ["Analysis", "Counts", "Limits", "prepare", "read_capture"]
