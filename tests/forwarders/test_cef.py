"""Whatever an alert says survives CEF, in one line, and nothing in it can pass for another field."""

import unicodedata
from typing import Any

import pytest
from feed_kit import alert, evidence, release
from hypothesis import example, given
from hypothesis import strategies as st
from syslog_kit import read_cef

from forwarders._cef import cef
from socmon.event import LEVELS

ANY = st.text(st.characters(codec="utf-8"), max_size=40)
HOSTILE = st.text(st.sampled_from("\\|= \n\r\t\x1b\x00\u202e\u2028ầ😀nr"), max_size=30)
TEXT = ANY | HOSTILE
WHOLE = 65_536


def shown(text: str) -> str:
    """`text` as CEF can carry it: controls and what turns the direction stand there as escapes."""
    return "".join(
        f"\\x{ord(char):02x}"
        if unicodedata.category(char) == "Cc" and char not in "\n\r"
        else f"\\u{ord(char):04x}"
        if char in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        else char
        for char in text
    )


@given(title=TEXT, raw=TEXT, user=TEXT)
@example(title="a\\", raw="src=1.2.3.4 cnt=99", user="\\=|")
@example(title="|10|", raw="x\\nsrc=10.0.0.1\n", user="a msg=b")
def test_any_text_survives(title: str, raw: str, user: str) -> None:
    told = alert(title=title, entities={"user": [user]}, evidence=[evidence()], group={})
    told.evidence = [type(told.evidence[0])(1, 0, "h", "c", "p", raw, "", {})]

    line = cef(told, release(), WHOLE)

    assert not {char for char in line if unicodedata.category(char) in {"Cc", "Zl", "Zp"}}
    header, values = read_cef(line)
    assert header[5] == shown(title).replace("\n", "\\x0a").replace("\r", "\\x0d")
    assert values.get("msg", "") == shown(raw)
    assert values.get("suser", "") == shown(user)
    assert "src" not in values


def test_an_alert_is_told_in_the_dictionarys_keys() -> None:
    header, values = read_cef(cef(alert(level="high", agency="so-tttt", system="dvc"), release(), WHOLE))

    assert header[:3] == ["CEF:0", "socmon", "socmon"]
    assert header[4:] == [alert().rule_id, "SSH brute force", "8"]
    assert values == {
        "externalId": alert().id,
        "cnt": "5",
        "start": "1795366682000",
        "end": "1795366724000",
        "rt": "1795366742000",
        "act": "open",
        "dvchost": "web-01",
        "src": "203.0.113.77",
        "suser": "root",
        "cs1Label": "agency",
        "cs1": "so-tttt",
        "cs2Label": "system",
        "cs2": "dvc",
        "cs3Label": "group",
        "cs3": "src_ip=203.0.113.77",
        "cs4Label": "tags",
        "cs4": "attack.credential-access,attack.t1110.001",
        "cs5Label": "addresses",
        "cs5": "203.0.113.77,10.1.2.3",
        "msg": evidence().raw,
    }


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"group": {"src_ip": "2001:db8::7"}}, "c6a2", "2001:db8::7"),
        ({"group": {"src_ip": "no address"}}, "src", None),
        ({"group": {}, "entities": {}}, "src", None),
        ({"status": "closed", "reason": "fp"}, "reason", "fp"),
    ],
)
def test_what_is_not_known_is_left_out(changes: dict[str, Any], key: str, expected: str | None) -> None:
    assert read_cef(cef(alert(**changes), release(), WHOLE))[1].get(key) == expected


@given(text=TEXT.map(lambda text: text * 200), room_bytes=st.integers(1400, 4000))
def test_no_message_is_longer_than_it_may_be_and_the_id_is_always_told(text: str, room_bytes: int) -> None:
    told = alert(title=text, agency=text, group={"a": text}, entities={"user": [text]}, host=text)

    line = cef(told, release(), room_bytes)

    assert len(line.encode()) <= room_bytes
    assert read_cef(line)[1]["externalId"] == told.id


def test_severities_grow_with_levels() -> None:
    severities = [int(read_cef(cef(alert(level=level), release(), WHOLE))[0][6]) for level in LEVELS]

    assert severities == [1, 3, 5, 8, 10]
