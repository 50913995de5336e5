"""Becomes a program that is given sockets, as systemd gives a service those of its socket unit (sd_listen_fds(3)).

    python -m socmon.demo.handover NAME=DESCRIPTOR … -- PROGRAM ARGUMENT …

The variable LISTEN_PID must hold the number of the process that takes the sockets, which is known only in that process;
so this runs in it first.
"""

import fcntl
import os
import sys
from collections.abc import Mapping, Sequence

_FIRST = 3  # SD_LISTEN_FDS_START


def command(sockets: Mapping[str, int], program: Sequence[str]) -> list[str]:
    """The command that runs `program` with `sockets`: name → descriptor, which its process must inherit."""
    given = [f"{name}={descriptor}" for name, descriptor in sockets.items()]
    return [sys.executable, "-m", "socmon.demo.handover", *given, "--", *program]


def _main(arguments: Sequence[str]) -> None:
    end = arguments.index("--")
    names, given = zip(*(each.rsplit("=", 1) for each in arguments[:end]), strict=True)
    descriptors = [int(each) for each in given]
    # Out of the way first: one of them may stand where another one goes.
    aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(descriptors)) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for place, descriptor in enumerate(aside, _FIRST):
        os.dup2(descriptor, place)
    os.environ |= {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(aside)),
        "LISTEN_FDNAMES": ":".join(names),
    }
    program = list(arguments[end + 1 :])
    os.execv(program[0], program)  # noqa: S606  it replaces this process, with a command that the demonstration made


if __name__ == "__main__":
    _main(sys.argv[1:])
