"""Messages of systemd (src/core/job.c, unit.c, service.c; versions 208 to 257) and of systemd-logind, in short.

    Started nginx.service - A high performance web server.      nginx.service: Failed with result 'exit-code'.
    nginx.service: Main process exited, code=exited, status=1/FAILURE

A job's line names the unit, or only its description, as `StatusUnitFormat` has it.
"""

from typing import Any

from socmon.parsers import pam
from socmon.parsers.forms import Forms

_UNIT = r"(?P<unit>[^\s:/]{1,250}\.(?:service|socket|target|timer|mount|automount|swap|path|slice|scope|device))"
_JOB = rf"(?:{_UNIT}(?: - (?P<description>.*?))?|(?P<name>.*?))(?:\.{{1,3}}|…)?"
_EXIT = (
    r"(?:Main|Control|main|control) process exited, code=(?P<result>\w{1,16}),? status=(?P<exit_status>[0-9]{1,5})"
    r"(?:/(?P<status>[\w+-]{1,32}))?"
)
_JOBS = Forms(
    ("starting", rf"Starting {_JOB}"),
    ("started", rf"Started {_JOB}"),
    ("finished", rf"Finished {_JOB}"),
    ("stopping", rf"Stopping {_JOB}"),
    ("stopped", rf"Stopped (?:target )?{_JOB}"),
    ("reloading", rf"Reloading {_JOB}"),
    ("reloaded", rf"Reloaded {_JOB}"),
    ("started", rf"Reached target {_JOB}"),
    ("started", rf"Listening on {_JOB}"),
    ("stopped", rf"Closed {_JOB}"),
    ("started", rf"Mounted {_JOB}"),
    ("stopped", rf"Unmounted {_JOB}"),
    ("start_failed", rf"Failed to start {_JOB}"),
    ("dependency_failed", rf"Dependency failed for {_JOB}"),
    ("start_failed", rf"Timed out starting {_JOB}"),
)
_UNITS = Forms(
    ("failed", rf"Unit {_UNIT} entered failed state\.?"),
    ("start_limit", rf"start request repeated too quickly for {_UNIT}"),
    ("exited", rf"{_UNIT}: {_EXIT}"),
    ("failed", rf"{_UNIT}: Failed with result '(?P<result>[\w-]{{1,64}})'\."),
    ("restart_scheduled", rf"{_UNIT}: Scheduled restart job, restart counter is at (?P<restarts>[0-9]{{1,10}})\."),
    (
        "restart_scheduled",
        rf"{_UNIT}:? (?:Service )?(?:RestartSec=\S* expired|hold-?off time over), scheduling restart\.",
    ),
    ("start_limit", rf"{_UNIT}: Start request repeated too quickly\."),
    ("deactivated", rf"{_UNIT}: (?:Succeeded|Deactivated successfully)\."),
    ("killed", rf"{_UNIT}: (?:Killing|Sent signal SIGKILL).*"),
    ("oom_killed", rf"{_UNIT}: .*killed by the OOM killer\."),
    ("timed_out", rf"{_UNIT}:? .*(?:timed out|[Tt]imeout).*"),
)
_LOGIND = Forms(
    (
        "session_opened",
        (
            r"New session '?(?P<session>[^\s']{1,64})'? of user '?(?P<user>[^\s']{1,256}?)'?"
            r"(?: with class .*)?\.?"
        ),
    ),
    ("session_closed", r"Removed session (?P<session>[^\s.]{1,64})\."),
    ("logged_out", r"Session (?P<session>\S{1,64}) logged out\. .*"),
    ("shutdown", r"(?:The system|System) (?:is|will) (?:powering|power) (?:down|off).*"),
    ("reboot", r"(?:The system|System) (?:is|will) (?:rebooting|reboot).*"),
)


def read(message: str) -> dict[str, Any]:
    """What `message` states of a unit: `unit`, or its `description`, `action`, `result`, `exit_status`, `restarts`."""
    if pam.writes(message):
        return pam.read(message)
    found = _JOBS.read(message) or _UNITS.read(message)
    if name := found.pop("name", None):
        found["description"] = name
    return found


def read_logind(message: str) -> dict[str, Any]:
    """What `message` states of `user`, `session` and `action`."""
    if pam.writes(message):
        return pam.read(message)
    return _LOGIND.read(message)
