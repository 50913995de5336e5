"""Whatever a client writes into a message, no reader takes an address or an outcome from it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import event

LIES = [
    "x, rip=6.6.6.6, lip=1.1.1.1",
    "x>, rip=6.6.6.6, lip=1.1.1.1, session=<a>",
    "x>, method=PLAIN, rip=6.6.6.6, lip=1.1.1.1, TLS",
    "a>: Login: user=<x>, rip=6.6.6.6",
    "a (auth failed, 9 attempts in 1 secs): user=<x>, rip=6.6.6.6",
    "x,6.6.6.6,<s>): Password mismatch",
    "x,6.6.6.6): unknown user (given password: a",
    "x,6.6.6.6,sasl:plain)<a>: sql: Password mismatch",
    "x rhost=6.6.6.6",
    "x rhost=6.6.6.6  user=root",
    " rhost=6.6.6.6 user=test",
    "x from unknown[6.6.6.6]: 554 5.7.1 x; from=<",
    "unknown[6.6.6.6]: SASL LOGIN authentication failed: x",
    "9F2D51A0B3C: client=unknown[6.6.6.6], sasl_method=PLAIN, sasl_username=root",
    "a>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (x",
    "SRC=6.6.6.6 DST=6.6.6.6 PROTO=TCP",
    "x\\nNov 23 10:00:02 mx dovecot: imap-login: Login: user=<a>, rip=6.6.6.6, lip=1.1.1.1",
    '] FAIL LOGIN: Client "6.6.6.6"',
    "",
    " ",
]
PIECES = [
    " ",
    ">",
    "<",
    ", ",
    "rip=6.6.6.6",
    "lip=6.6.6.6",
    "user=<",
    "(auth failed, 1 attempts)",
    "): ",
    "6.6.6.6",
    " rhost=6.6.6.6",
    "  user=",
    "[6.6.6.6]",
    "from unknown[6.6.6.6]",
    ": ",
    "; from=<a> to=<b>",
    "Login",
    "status=sent (",
    "SASL LOGIN",
]
words = st.sampled_from(LIES) | st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), max_size=10
).map("".join)

# What a program writes with a client's words in it, and the outcome that the message stands for.
FORMS = {
    "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{}>, method=PLAIN, rip=192.0.2.1, "
    "lip=192.0.2.9, TLS, session=<YADINsQCDs5BH8Pg>": "failure",
    "dovecot: imap-login: Disconnected: Inactivity (no auth attempts in 2 secs): user=<{}>, rip=192.0.2.1": None,
    "dovecot: imap-login: Login: user=<{}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.9, mpid=1, TLS": "success",
    "dovecot: auth: pam({},192.0.2.1,<YADINsQCDs5BH8Pg>): unknown user": None,
    "dovecot: auth: sql({},192.0.2.1): Password mismatch (given password: {})": None,
    "dovecot: auth({},192.0.2.1,sasl:plain)<CvN+E95Uf4e7eEnj>: sql: Password mismatch (given password: {})": None,
    "postfix/smtpd[8]: NOQUEUE: reject: RCPT from a.example[192.0.2.1]: 554 5.7.1 <{}>: Relay access denied; from=<{}> "
    "to=<{}> proto=ESMTP helo=<{}>": None,
    "postfix/smtpd[8]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: {}": "failure",
    "postfix/smtpd[8]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username={}": "failure",
    "postfix/smtpd[8]: warning: non-SMTP command from unknown[192.0.2.1]: {}": None,
    "postfix/smtpd[8]: improper command pipelining after EHLO from unknown[192.0.2.1]: {}": None,
    "postfix/postscreen[8]: PREGREET 14 after 0.08 from [192.0.2.1]:40312: {}": None,
    "postfix/submission/smtpd[8]: 9F2D51A0B3C: client=unknown[192.0.2.1], sasl_method=PLAIN, "
    "sasl_username={}": "success",
    "postfix/cleanup[8]: 9F2D51A0B3C: reject: header Subject: {} from a.example[192.0.2.1]; from=<{}> to=<{}>": None,
    "postfix/smtp[8]: 9F2D51A0B3C: to=<{}>, relay=b.example[192.0.2.7]:25, delay=0, delays=0/0/0/0, dsn=5.1.1, "
    "status=bounced (host b.example[192.0.2.7] said: 550 {})": None,
    "vsftpd[8]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser={} "
    "rhost=192.0.2.1": "failure",
    "vsftpd[8]: pam_sss(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser={} "
    "rhost=192.0.2.1 user={}": "failure",
    'vsftpd[8]: [{}] FAIL LOGIN: Client "192.0.2.1"': None,
    "sshd[8]: pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
    "rhost=192.0.2.1 user={}": None,
    "su[8]: No passwd entry for user '{}'": None,
    "CRON[8]: (lan) CMD ({})": None,
    "systemd[1]: Started {}.": None,
    "useradd[8]: failed adding user '{}', exit code: 3": None,
}


@settings(max_examples=600, deadline=None)
@given(form=st.sampled_from(sorted(FORMS)), client=st.lists(words, min_size=4, max_size=4))
def test_words_of_a_client_move_neither_address_nor_outcome(form: str, client: list[str]) -> None:
    found = event(f"Nov 23 10:00:02 mx {form.format(*client)}").fields

    assert found.get("src_ip") in {"192.0.2.1", None}
    assert found.get("dst_ip") in {"192.0.2.7", None}
    assert found.get("outcome") in {FORMS[form], None}
    assert found.get("action") not in {"sent", "blocked", "allowed"}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_each_lie_in_each_form_is_found_out(form: str, lie: str) -> None:
    found = event(f"Nov 23 10:00:02 mx {form.format(lie, lie, lie, lie)}").fields

    assert found.get("src_ip") in {"192.0.2.1", None}
    assert found.get("outcome") in {FORMS[form], None}


@pytest.mark.parametrize("lie", LIES)
def test_name_of_a_dovecot_user_hides_neither_address_nor_failure(lie: str) -> None:
    found = event(
        "Nov 23 10:00:02 mx dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): "
        f"user=<{lie}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.9, session=<YADINsQCDs5BH8Pg>"
    ).fields

    assert (found["user"], found["src_ip"], found["outcome"]) == (lie, "192.0.2.1", "failure")


def test_pam_line_that_can_be_read_in_two_ways_names_nobody() -> None:
    pam = "pam_unix(ftp:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser="

    found = event(f"Nov 23 10:00:02 h ftpd: {pam} rhost=192.0.2.1 user=a rhost=192.0.2.2").fields

    assert found["outcome"] == "failure"
    assert not {"src_ip", "user", "ruser"} & set(found)


SERVICES = ["sshd", "su", "cron", "useradd", "systemd", "systemd-logind", "kernel", "postfix/smtpd", "dovecot", "login"]
STARTS = [
    "",
    "pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty= ruser=",
    "imap-login: Login: user=<",
    "imap-login: Disconnected (auth failed, 1 attempts): user=<",
    "auth: pam(",
    "auth(",
    "IN=",
    "(root) CMD (",
    "NOQUEUE: reject: RCPT from ",
    "9F2D51A0B3C: to=<",
    "9F2D51A0B3C: client=",
    "warning: ",
    "Started ",
    "new user: name=",
    "user",
    "a.service: ",
    "hostname ",
    "conn unix:auth-worker: auth-worker<1>: pam(",
]


@pytest.mark.parametrize(
    "piece", [" rhost=", "a[1.1.1.1]", "IN= OUT= ", "SRC=1 ", ", rip=1.1.1.1", "): ", ">: ", " - ", "'", "("]
)
@pytest.mark.parametrize("service", SERVICES)
def test_hostile_line_of_64_kb_is_read_in_linear_time(service: str, piece: str) -> None:
    for start in STARTS:  # a quadratic form would meet the timeout of the suite
        event(f"Nov 23 10:00:02 h {service}: {start}{piece * (65_000 // len(piece))}!")
