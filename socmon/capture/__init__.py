"""`socmon-capture`: packets of an interface, or of a file, become events; a process of its own, never the daemon's."""


def main() -> None:
    """The script's entry; what it needs is imported only here, since the collectors import this package."""
    from socmon.capture.command import run  # noqa: PLC0415  click, rings and scapy are no business of the daemon

    run()
