"""Become a command under the restrictions of a unit that need no service manager: `python sandbox.py UNIT COMMAND…`.

System calls that the unit filters out end the process with SIGSYS, so that a test sees them; systemd answers EPERM.
Address families are refused as systemd does, and no memory may become executable.
"""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

_ALLOW = 0x7FFF_0000  # seccomp.h
_KILL_PROCESS = 0x8000_0000
_ERRNO = 0x0005_0000
_EQUAL = 4
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # prctl(2), Linux 6.3
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}
_LAST_FAMILY = 46


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def options(unit: Path) -> list[tuple[str, str]]:
    """The assignments of a unit, in order."""
    lines = [line for line in unit.read_text("utf-8").splitlines() if line and line[0] not in "#[;"]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def allowed_calls(unit: Path) -> set[str]:
    """Names of the system calls that the unit lets through (systemd.exec(5), SystemCallFilter=)."""
    calls: set[str] = set()
    for name, value in options(unit):
        if name == "SystemCallFilter":
            found = {call for word in value.removeprefix("~").split() for call in _calls(word)}
            calls = calls - found if value.startswith("~") else calls | found
    return calls


def _calls(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    members = [line.strip() for line in shown if line.startswith("    ") and not line.lstrip().startswith("#")]
    return {call for member in members for call in _calls(member)}


def restrict(unit: Path) -> None:
    """Put this process under the unit's restrictions."""
    given = dict(options(unit))
    if given.get("MemoryDenyWriteExecute") == "yes":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0):
            print("this kernel cannot refuse executable memory", file=sys.stderr)
    families = {_FAMILIES[name] for name in given["RestrictAddressFamilies"].split()}
    calls = allowed_calls(unit)
    _load(_ALLOW, [("socket", _ERRNO | errno.EAFNOSUPPORT, n) for n in range(_LAST_FAMILY) if n not in families])
    # As root, unlike the service, SQLite hands its files to their owner, and goes on where it may not.
    refused = ["fchown"] if os.geteuid() == 0 and "fchown" not in calls else []
    rules: list[tuple[str, int, int | None]] = [(name, _ALLOW, None) for name in sorted(calls)]
    _load(_KILL_PROCESS, [*rules, *((name, _ERRNO | errno.EPERM, None) for name in refused)])


def _load(default: int, rules: list[tuple[str, int, int | None]]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    for name, action, first in rules:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # of another architecture
        compared = (_Comparison * 1)(_Comparison(0, _EQUAL, first or 0, 0))
        count = 0 if first is None else 1
        done = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, count, compared)
        assert done == 0, (name, done)
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    restrict(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
