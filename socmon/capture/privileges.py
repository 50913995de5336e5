"""Giving up every right, once the interface is open (capabilities(7), prctl(2))."""

import ctypes
import os
import pwd
from pathlib import Path

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x2008_0522  # linux/capability.h
_LAST = Path("/proc/sys/kernel/cap_last_cap")


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def drop(user: str) -> None:
    """Become `user`, where we are root, without any capability, and without a way to get one again.

    Raises:
        LookupError: there is no such user; we are still who we were.
        OSError: the kernel refuses; the process must end.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        account = pwd.getpwnam(user)
        for capability in range(int(_LAST.read_text("ascii")) + 1):
            _call(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    _call(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    nothing = (_Data * 2)()
    _call(libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(nothing)))
    _call(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _call(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot give up privileges: {os.strerror(number)}")
