"""Secrets in log lines are masked, whichever tool's form they have; what only looks like one costs no long time."""

import msgspec
import pytest
from feed_kit import alert, evidence
from hypothesis import given
from hypothesis import strategies as st
from watchdog import watchdog

from socmon.feed.masking import MASK, SECRETS, masked, masked_alert

SECRET = "S3cr3t+hunter2"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbiJ9.c2lnbmF0dXJl"
# Lines in which SECRET must be masked, and what stays.
LINES = [
    (f"mysql -u root -p{SECRET} -h db", "-h db"),
    (f"mysqldump --password={SECRET} --all-databases", "--all-databases"),
    (f'mysql --password "{SECRET} {SECRET}" -e x', "-e x"),
    (f"sshpass -p {SECRET} ssh an@192.0.2.7", "ssh an@192.0.2.7"),
    (f"sshpass -p{SECRET} ssh host", "ssh host"),
    (f"PGPASSWORD={SECRET} psql -h db", "psql -h db"),
    (f"MYSQL_PWD='{SECRET}' mysql", "mysql"),
    (f"curl -u an:{SECRET} https://lgsp.example/", "https://lgsp.example/"),
    (f"curl -sku an:{SECRET} https://lgsp.example/", "https://lgsp.example/"),
    (f"curl --user=an:{SECRET} https://lgsp.example/", "https://lgsp.example/"),
    (f"wget https://an:{SECRET}@lgsp.example/x", "@lgsp.example/x"),
    (f"git clone https://an:{SECRET}@{SECRET}@git.example/x.git", "git.example/x.git"),
    (f"net user bao {SECRET} /add", "/add"),
    (f"net.exe  USER bao {SECRET} /add /domain", "/add /domain"),
    (f"net use z: \\\\dc01\\c$ {SECRET} /user:tinh\\bao", "/user:tinh\\bao"),
    (f"cmdkey /add:dc01 /user:bao /pass:{SECRET}", "/user:bao"),
    (f"runas /password:{SECRET} cmd", "cmd"),
    (f"psexec \\\\dc01 -u bao -p {SECRET} cmd", "cmd"),
    (f"schtasks /create /ru bao /rp {SECRET} /tn x", "/tn x"),
    (f"plink -pw {SECRET} host", "host"),
    (f"echo {SECRET} | sudo -S id", "sudo -S id"),
    (f"echo 'bao:{SECRET}' | chpasswd", "chpasswd"),
    (f"htpasswd -bc /etc/x bao {SECRET}", "/etc/x bao"),
    (f"ldapsearch -D cn=x -w {SECRET} -b dc=x", "-b dc=x"),
    (f"unzip -P {SECRET} a.zip", "a.zip"),
    (f"$p = ConvertTo-SecureString '{SECRET}' -AsPlainText", "-AsPlainText"),
    (f"redis-cli -h db -a {SECRET} info", "info"),
    (f"GET /x?token={SECRET}&page=2 HTTP/1.1", "&page=2 HTTP/1.1"),
    (f"GET /x?access_token={SECRET}&page=2", "&page=2"),
    (f"GET /x?a=1&api_key={SECRET}", "a=1&"),
    (f"GET /x?user[password]={SECRET}&page=2", "&page=2"),
    (f"POST /login mat_khau={SECRET}", "POST /login"),
    (f"Authorization: Bearer {SECRET}", "Authorization:"),
    (f"curl -H 'Authorization: Basic {SECRET}' https://x.example", "https://x.example"),
    (f'"authorization":"Digest username=an, response={SECRET}","host":"x"', '"host":"x"'),
    (f"X-Api-Key: {SECRET}", "X-Api-Key:"),
    (f"Cookie: sid={SECRET}; theme={SECRET}", "Cookie:"),
    (f'{{"password":"{SECRET}","user":"an"}}', '"user":"an"'),
    (f'{{"password": "{SECRET}\\"{SECRET}", "user": "an"}}', '"user": "an"'),
    (f'"{{\\"password\\":\\"{SECRET}\\"', "password"),
    (f'password="{SECRET} {SECRET}', "password="),
    (f"Server=db;Uid=an;Pwd={SECRET};", "Server=db;Uid=an;"),
    (f'"pwd": "{SECRET}"', '"pwd":'),
    (f"DB_PASSWORD: {SECRET}", "DB_PASSWORD:"),
    (f"--client-secret {SECRET} --scope x", "--scope x"),
    (f"password=a,{SECRET}", "password="),
    (f"password=abc'{SECRET}'", "password="),
    (f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY----- end", "----- end"),
    (f"-----BEGIN PRIVATE KEY-----\\n{SECRET}", "-----BEGIN PRIVATE KEY-----"),
]


@pytest.mark.parametrize(("line", "stays"), LINES)
def test_a_secret_is_masked_and_the_rest_stays(line: str, stays: str) -> None:
    shown, count = masked(line)

    assert SECRET not in shown
    assert MASK in shown
    assert stays in shown
    assert count > 0


@pytest.mark.parametrize(
    "token",
    [
        JWT,
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1" * 18,
        "xoxb-123456789012-abc",
        "glpat-" + "x" * 20,
        "sk_live_" + "a" * 20,
    ],
)
def test_a_token_that_tells_its_kind_is_masked_wherever_it_stands(token: str) -> None:
    assert masked(f"GET /x/{token} HTTP/1.1 by {token}") == (f"GET /x/{MASK} HTTP/1.1 by {MASK}", 2)


@pytest.mark.parametrize(
    "line",
    [
        "Failed password for root from 203.0.113.7 port 40022 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7",
        "bao : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/root ; USER=root ; COMMAND=/bin/sh",
        "GET /tokens/list?page=2 HTTP/1.1",
        "docker ps --all",
        "",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert masked(line) == (line, 0)


@given(
    before=st.text(max_size=40),
    name=st.sampled_from(["password", "PASSWD", "api_key", "client-secret", "refresh_token", "pwd"]),
    value=st.text(st.characters(categories=("L", "N")), min_size=6, max_size=30),
)
def test_a_named_value_is_masked_whatever_stands_before(before: str, name: str, value: str) -> None:
    shown, _ = masked(f"{before} {name}={value}")

    assert not shown.endswith(value)
    assert shown.endswith(MASK) or value not in shown


@pytest.mark.parametrize(
    "piece",
    [
        "password=",
        "mysql -p",
        '"',
        "\\",
        "net user a ",
        "eyJ.",
        "echo a ",
        "-----BEGIN PRIVATE KEY-----",
        "://",
        ",;",
        "'\"",
    ],
)
def test_the_longest_line_of_one_piece_takes_no_long_time(piece: str) -> None:
    with watchdog(f"a line of {piece!r}"):
        masked((piece * 65_536)[:65_536])


def test_each_kind_has_one_group() -> None:
    assert [secret.name for secret in SECRETS if secret.pattern.count("(") == secret.pattern.count(r"\(")] == []
    assert len({secret.name for secret in SECRETS}) == len(SECRETS)


def test_an_alert_is_masked_in_all_that_shows_what_a_line_said() -> None:
    line = f"net user bao {SECRET} /add"
    held = msgspec.structs.replace(evidence(CommandLine=line, password=SECRET, Args=[line], n=7), raw=line)

    shown = masked_alert(alert(group={"CommandLine": line}, entities={"user": [line]}, evidence=[held]))

    assert SECRET not in repr(shown)
    (one,) = shown.evidence
    assert one.raw == f"net user bao {MASK} /add"
    assert (one.sha256, one.fields["n"], one.fields["user"]) == (held.sha256, 7, "root")
    assert one.fields["password"] == MASK
