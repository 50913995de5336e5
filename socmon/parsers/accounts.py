"""Messages of the programs that keep accounts: shadow's useradd and its kin, passwd, adduser, systemd-sysusers.

    new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/bash, from=/dev/pts/0
    add 'bob' to group 'sudo'                            user bob added by root to group sudo
    group added to /etc/group: name=dev, GID=1002

shadow 4.2 to 4.17: src/*.c, SYSLOG(). One change gives one `action`: of the lines for /etc/group, /etc/gshadow and the
whole, that of the whole has it.
"""

from typing import Any

from socmon.parsers import pam
from socmon.parsers.forms import Forms

_WHO = r"'?(?P<target_user>[^\s',:]{1,256})'?"
_GROUP = r"'?(?P<group>[^\s',:/()]{1,256})'?"
_BY = r"(?P<user>[^\s']{1,256})"
_UID, _GID = r"(?P<uid>[0-9]{1,10})", r"(?P<gid>[0-9]{1,10})"
_FORMS = Forms(
    (
        "user_added",
        (
            rf"new user: name={_WHO}, UID={_UID}, GID={_GID}, home=(?P<home>.*), shell=(?P<shell>[^\s,]*)"
            r"(?:, from=(?P<tty>\S*))?"
        ),
    ),
    (
        "user_added",
        (
            rf"new account added: account={_WHO}, uid={_UID}, gid={_GID}, home=(?P<home>.*), "
            r"shell=(?P<shell>[^\s,]*)(?:, .*)?"
        ),
    ),  # SUSE
    ("user_added", rf"Creating user {_WHO} \(.*\) with UID {_UID} and GID {_GID}\."),
    ("group_added", rf"new group: name={_GROUP}, GID={_GID}"),
    ("group_added", rf"Creating group {_GROUP} with GID {_GID}\."),
    ("", rf"group added to \S{{1,256}}: name={_GROUP}(?:, GID={_GID})?"),
    ("add_failed", rf"failed adding user {_WHO}, .*"),
    ("add_failed", rf"failed adding group {_GROUP}, .*"),
    ("member_added", rf"add {_WHO} to group {_GROUP}"),
    ("", rf"add {_WHO} to shadow group {_GROUP}"),
    ("member_added", rf"user {_WHO} added by {_BY} to group {_GROUP}"),
    ("member_removed", rf"delete {_WHO} from group {_GROUP}"),
    ("", rf"delete {_WHO} from shadow group {_GROUP}"),
    ("member_removed", rf"user {_WHO} removed by {_BY} from group {_GROUP}"),
    ("members_set", rf"members of group {_GROUP} set by {_BY} to (?P<members>.*)"),
    ("administrators_set", rf"administrators of group {_GROUP} set by {_BY} to (?P<members>.*)"),
    ("user_deleted", rf"delete user {_WHO}"),
    ("group_deleted", rf"removed group {_GROUP} owned by {_WHO}"),
    ("", rf"removed shadow group {_GROUP} owned by {_WHO}"),
    ("group_deleted", rf"group {_GROUP} removed"),
    ("", rf"group {_GROUP} removed from \S{{1,256}}"),
    ("group_changed", rf"group changed in /etc/group \(group {_GROUP}(?:/[0-9]{{1,10}})?, .*\)"),
    ("", rf"group changed in \S{{1,256}} \(group {_GROUP}(?:/[0-9]{{1,10}})?, .*\)"),
    ("password_changed", rf"change user {_WHO} password"),
    ("user_renamed", rf"change user name {_WHO} to '(?P<new_name>[^\s']{{1,256}})'"),
    ("uid_changed", rf"change user {_WHO} UID from '[0-9]{{1,10}}' to '{_UID}'"),
    ("gid_changed", rf"change user {_WHO} GID from '[0-9]{{1,10}}' to '{_GID}'"),
    ("shell_changed", rf"change user {_WHO} shell from '[^']*' to '(?P<shell>[^']*)'"),
    ("home_changed", rf"change user {_WHO} home from '[^']*' to '(?P<home>[^']*)'"),
    ("user_changed", rf"change user {_WHO} .*"),
    ("shell_changed", rf"changed user {_WHO} shell to '(?P<shell>[^']*)'"),
    ("user_changed", rf"changed user {_WHO} information"),
    ("user_locked", rf"lock user {_WHO} password"),
    ("user_unlocked", rf"unlock user {_WHO} password"),
    ("password_changed", rf"password for {_WHO} changed by '?{_BY}'?"),
    ("password_changed", rf"password of group {_GROUP} changed by {_BY}"),
    ("password_removed", rf"password of group {_GROUP} removed by {_BY}"),
    ("expiry_changed", rf"changed password expiry for {_WHO}"),
    ("not_allowed", rf"can't view or modify password information for {_WHO}"),
    ("not_allowed", r"can't (?:change|modify|view) .* for '?(?P<target_user>[^\s']{1,256})'?"),
    ("failed", rf"\(user {_WHO}\) pam_\w{{1,32}}\(\) failed, .*"),
    # adduser has useradd and its kin do the work, and these say so themselves.
    ("", r"(?:Adding|Creating|Removing|Deleting)(?: new| system)? user [`']?(?P<target_user>[^\s`']{1,256})' .*"),
    ("", r"(?:Adding|Creating|Removing|Deleting)(?: new| system)? group [`']?(?P<group>[^\s`']{1,256})' .*"),
)


def read(message: str) -> dict[str, Any]:
    """What `message` states of `target_user group uid gid home shell`, by whom (`user`), and the `action`."""
    if pam.writes(message):
        return pam.read(message)
    return _FORMS.read(message)
