"""The lines of docs/threat-model.md: how each line's control is switched off, and the tests that must fail then."""

from threat_switches import Line

from threat_lines import receiver, sender, wire

LINES: tuple[Line, ...] = (*wire.LINES, *sender.LINES, *receiver.LINES)
