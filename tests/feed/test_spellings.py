"""No spelling of a name, an internal address or a secret survives in a line that leaves masked.

The test reads what is left by the standard library, as somebody would who is curious; it knows nothing of how we read.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from ipaddress import IPv4Address
from urllib.parse import quote, unquote

import msgspec
import pytest
from feed_kit import ORG, alert, evidence
from hypothesis import given
from hypothesis import strategies as st

from socmon.feed import masking
from socmon.feed.masking import SECRETS, masked
from socmon.feed.privacy import Account, Policy, PseudonymKey

USER, DOMAIN, HOST, SECRET = "nguyenthihoa", "vinhlong.gov.example", "cchc-db-07", "Tinh2026xyz"
INSIDE, INSIDE_V6 = "10.77.3.21", "fd00::5:7"
KEY = PseudonymKey(b"k" * 32, ORG)

Spelling = Callable[[str], str]
CHARACTERS: list[Spelling] = [
    lambda char: char,
    lambda char: char.upper(),
    lambda char: "".join(f"%{byte:02x}" for byte in char.encode()),
    lambda char: "".join(f"%25{byte:02X}" for byte in char.encode()),
    lambda char: f"\\u{ord(char):04x}",
    lambda char: f"\\\\u{ord(char):04X}",
    lambda char: f"\\x{ord(char):02x}",
    lambda char: f"&#{ord(char)};",
    lambda char: f"&#x{ord(char):X};",
    lambda char: chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char,
    lambda char: f"{char}\u200b",
    lambda char: f"{char}\u0323" if char.isalpha() else char,
]
BEFORE = ["", " ", "for ", "user=", '"', "(", "/", "?u=", "cảnh báo: ", "\u00a0", "x=%20", "[", "\t", "ip:", "id:"]
AFTER = ["", " ", ",", '"', ")", "/x", " from 203.0.113.9", "; số", "\u00a0z", "%20y", "]", ": failed", ":22", ":"]


def spelt(word: str) -> st.SearchStrategy[str]:
    """`word`, each of its characters in some way, or all in the same."""
    mixed = st.lists(st.sampled_from(CHARACTERS), min_size=len(word), max_size=len(word))
    same = st.sampled_from(CHARACTERS).map(lambda one: [one] * len(word))
    return (same | mixed).map(lambda ways: "".join(way(char) for way, char in zip(ways, word, strict=True)))


def read(text: str) -> str:
    """As a reader takes it: escapes undone as often as it helps, marks and invisible signs gone, small letters."""
    for _ in range(6):
        text = re.sub(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))", lambda it: chr(int(it[1] or it[2], 16)), text)
        text = html.unescape(unquote(text))
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char for char in plain if unicodedata.category(char) not in {"Cf", "Mn"}).casefold()


def left_of(line: str, policy: Policy, **named: str) -> str:
    one = msgspec.structs.replace(evidence(user=named.get("user", USER), dst_ip=INSIDE), raw=line, host=HOST)
    entities = {"user": [named.get("user", USER)], "host": [named.get("host", HOST)], "ip": [INSIDE, INSIDE_V6]}
    made = alert(evidence=[one], entities=entities, host=named.get("host", HOST))
    return Account(policy).raw(one, made) or ""


policies = st.sampled_from([Policy(raw="masked"), Policy(raw="masked", internal_ips="pseudonymise", key=KEY)])


@given(st.data(), policies, st.sampled_from(BEFORE), st.sampled_from(AFTER))
def test_no_spelling_of_a_user_survives(data: st.DataObject, policy: Policy, before: str, after: str) -> None:
    known = data.draw(st.sampled_from([USER, f"CORP\\{USER}", f"{USER}@{DOMAIN}", f"{USER}$"]))
    written = data.draw(st.sampled_from([known, USER, f"CORP\\\\{USER}"]))

    left = left_of(f"{before}{data.draw(spelt(written))}{after}", policy, user=known)

    assert USER not in read(left)


@given(st.data(), policies, st.sampled_from(BEFORE), st.sampled_from(AFTER))
def test_no_spelling_of_a_host_survives(data: st.DataObject, policy: Policy, before: str, after: str) -> None:
    known = data.draw(st.sampled_from([HOST, f"{HOST}.{DOMAIN}", f"{HOST}.{DOMAIN}."]))
    written = data.draw(st.sampled_from([known, HOST, f"{HOST}.khac.example"]))

    left = left_of(f"{before}{data.draw(spelt(written))}{after}", policy, host=known)

    assert HOST not in read(left)


NUMBERS = INSIDE.split(".")
WAYS = [
    INSIDE,
    "10.88.4.5",
    "[.]".join(NUMBERS),
    "(.)".join(NUMBERS),
    "-".join(NUMBERS),
    "_".join(NUMBERS),
    "ip-" + "-".join(NUMBERS),
    ".".join(NUMBERS[::-1]) + ".in-addr.arpa",
    ".".join(f"{int(number):#x}" for number in NUMBERS),
    ".".join(f"{int(number):04o}" for number in NUMBERS),
    f"{int(IPv4Address(INSIDE))}",
    f"{int(IPv4Address(INSIDE)):#x}",
    f"{int(IPv4Address(INSIDE)):08x}",
    f"10.77.{3 * 256 + 21}",
    f"::ffff:{INSIDE}",
    "::ffff:a4d:315",
    f"64:ff9b::{INSIDE}",
    "2002:a4d:315::1",
    INSIDE_V6,
    "fd00:0000:0:0::0005:0007",
    "FD00::5:7%eth0",
    "fd00--5-7.ipv6-literal.net",
    "7.0.0.0.5" + ".0" * 23 + ".0.0.d.f.ip6.arpa",
]


@pytest.mark.parametrize("way", WAYS)
def test_an_internal_address_does_not_leave_in_another_spelling(way: str) -> None:
    plain = Policy(raw="masked")
    for line in (f"from {way} port 22", f"GET http://{way}/x", f'"ip":"{way}"', f"{way}", f"a={way},b"):
        assert read(way) not in read(left_of(line, plain)), line


@given(st.data(), policies, st.sampled_from(BEFORE), st.sampled_from(AFTER))
def test_no_spelling_of_an_internal_address_survives(
    data: st.DataObject, policy: Policy, before: str, after: str
) -> None:
    written = data.draw(st.sampled_from([INSIDE, "192.168.44.55", "fd00::5:7"]))

    left = left_of(f"{before}{data.draw(spelt(written))}{after}", policy)

    assert written not in read(left)


NAMED = ["password", "mật khẩu", "mat_khau", "api_key", "token", "passwd", "secret", "mk"]


@given(st.data(), policies, st.sampled_from(BEFORE), st.sampled_from(AFTER))
def test_no_secret_survives_under_any_spelling_of_its_name(
    data: st.DataObject, policy: Policy, before: str, after: str
) -> None:
    name = data.draw(st.sampled_from(NAMED).flatmap(lambda name: spelt(name) if name.isascii() else st.just(name)))
    form = data.draw(st.sampled_from(["{}={}", "{}: {}", "<{}>{}</x>", '"{}":"{}"', "{}%3D{}", "{}&#61;{}"]))

    left = left_of(before + form.format(name, data.draw(spelt(SECRET))) + after, policy)

    assert SECRET.casefold() not in read(left)


@pytest.mark.parametrize(
    "line",
    [
        f"mật khẩu: {SECRET}",
        unicodedata.normalize("NFD", f"mật khẩu={SECRET}"),
        f"Mật Khẩu : '{SECRET} {SECRET}'",
        f"mk={SECRET}",
        f"<password>{SECRET}</password>",
        f'<wsse:Password Type="x#PasswordText">{SECRET}</wsse:Password>',
        f"<Password><![CDATA[a<{SECRET}]]></Password>",
        f"&lt;pwd&gt;{SECRET}&lt;/pwd&gt;",
        f"%3Cpassword%3E{SECRET}%3C/password%3E",
        f"pass%77ord={SECRET}",
        f"pass%2577ord={SECRET}",
        f"\\u0070assword={SECRET}",
        f"\uff50assword={SECRET}",
        f"sqlcmd -S db -U sa -P {SECRET} -Q x",
        f"SQLCMD.EXE -U sa -P{SECRET}",
        "sqlcmd -U sa -P 20262026",
        f"ipmitool -H bmc -U admin -P {SECRET} chassis",
        f"tool -P {SECRET}",
        f"tool -P '{SECRET}'",
        f"type=PROCTITLE msg=audit(1): proctitle={SECRET.encode().hex().upper()}",
        f"password={quote(SECRET + '&' + SECRET, safe='')}",
    ],
)
def test_a_secret_is_masked_in_a_form_that_was_missed_once(line: str) -> None:
    shown, _ = masked(line)

    assert SECRET.casefold() not in read(shown)
    assert SECRET.encode().hex().upper() not in shown
    assert "20262026" not in shown


@pytest.mark.parametrize("line", ["ssh -P 2222 host", "cp -P ./a /b", "tar -P -x", "mysql -P 3306 -h db", "a0=7ffd9a"])
def test_a_port_a_path_and_a_flag_are_no_secrets(line: str) -> None:
    assert masked(line) == (line, 0)


PIECES = [*" =:'\"\\<>&;-\n", "password", "mysql", "-p", "-P", "token", "eyJ.", "echo x | sudo", "net user a b", "đ"]
PIECES += ["%3d", "Cookie:", "mk", "<pwd>", "://a@", "AKIA"]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_the_set_of_patterns_finds_what_each_finds(pieces: list[str]) -> None:
    text = "".join(pieces)
    _, each = masking._compiled()
    alone = {
        match.span(1) for pattern in each for match in pattern.finditer(text) if match.span(1)[1] > match.span(1)[0]
    }

    assert {*masking._places(text)} == alone
    assert len(each) == len(SECRETS)


@pytest.mark.parametrize(
    "line",
    [
        "std::io::Error at Foo::Bar::baz",
        "2026-11-27T08:00:52Z took 00:01:02:003",
        "00:1a:2b:3c:4d:5e to 203.0.113.9 and 2001:db8::a00:1",
        "id 7d3a0f52-0000-5000-8000-000000000001, 10-11-2026, 1-2-3-4-5",
        "version 8.0.5; 0x7ffd9a10; web-01 of another",
    ],
)
def test_what_is_no_internal_address_stays(line: str) -> None:
    assert left_of(line, Policy(raw="masked")) == line
