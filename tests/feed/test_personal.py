"""Personal data is found in any text, in whatever disguise; and what is left names nobody."""

import unicodedata
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchdog import watchdog

from socmon.feed.folding import fold
from socmon.feed.personal import BANK_CARD, CITIZEN_ID, EMAIL, KINDS, PHONE, UNREADABLE, find, without

INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u202e",
    "\u0301",
    "\u3164",
    "\x00",
    "\U000e0031",
]
SEPARATORS = [" ", ".", "-", "\u00a0", "\u2013", "\u2003", "/", " - ", ". ", "\uff0e", "\u2022"]
ZEROS = ["0", "\uff10", "\u0660", "\u06f0", "\u0966", "\U0001d7ce", "\U0001d7d8", "\u0e50"]
WORDS = ["", "user=", "số ĐT: ", "gọi ", "<", '"', "(", "x", "ô", "; id="]


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def with_check_digit(number: str) -> str:
    """ISO/IEC 7812-1, annex B, by the book and not as the code does it."""
    total = 0
    for place, digit in enumerate(number[::-1]):
        value = int(digit)
        if place % 2 == 0:
            value *= 2
            value = value // 10 + value % 10
        total += value
    return number + str(-total % 10)


phones = st.builds(
    lambda start, kind, rest: start + kind + rest[: 9 - len(kind)],
    st.sampled_from(["0", "84", "+84", "0084", "+840"]),
    st.sampled_from("35789"),
    digits(8),
) | st.builds(lambda start, rest: start + "2" + rest, st.sampled_from(["0", "84", "+84"]), digits(9))
citizen_ids = st.builds(lambda province, rest: f"{province:03}{rest}", st.integers(1, 96), digits(9))
cards = st.builds(
    lambda start, rest, length: with_check_digit((start + rest)[: length - 1]),
    st.sampled_from(["4", "51", "2221", "34", "6212", "3528", "9704"]),
    digits(18),
    st.sampled_from([15, 16, 19]),
)
numbers = st.one_of(
    phones.map(lambda number: (PHONE, number)),
    citizen_ids.map(lambda number: (CITIZEN_ID, number)),
    cards.map(lambda number: (BANK_CARD, number)),
)
emails = st.builds(
    lambda name, host: f"{name}@{host}",
    st.sampled_from(["an", "nguyen.van-an", "le_thi+x", "bao99", "hòa", "Đỗ.An"]),
    st.sampled_from(["vinhlong.gov.vn", "mail.example", "xã-an-hiệp.vn", "web-01"]),
)


@st.composite
def other_digits(draw: st.DrawFn, text: str) -> str:
    """Each digit perhaps of another script."""
    return "".join(chr(ord(draw(st.sampled_from(ZEROS))) + int(char)) if char.isdigit() else char for char in text)


@st.composite
def parted(draw: st.DrawFn, text: str) -> str:
    """A separator perhaps between any two signs."""
    return "".join(char + draw(st.sampled_from(["", "", *SEPARATORS])) for char in text[:-1]) + text[-1]


@st.composite
def with_invisible(draw: st.DrawFn, text: str) -> str:
    return "".join(char + draw(st.sampled_from(["", "", *INVISIBLE])) for char in text[:-1]) + text[-1]


def json_escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))


ESCAPES: dict[str, Callable[[str], str]] = {
    "none": str,
    "percent": quote,
    "every byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "thrice": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "json": json_escaped,
    "percent in json": lambda text: json_escaped(quote(text)),
    "html": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "braces": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
}


@st.composite
def escaped(draw: st.DrawFn, text: str) -> str:
    return ESCAPES[draw(st.sampled_from(sorted(ESCAPES)))](text)


normal_forms = st.sampled_from(["NFC", "NFD", "NFKC", "none"])


def in_form(text: str, form: str) -> str:
    return text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]  # one of the sampled


def legible(text: str) -> str:
    """What somebody could read out of what left, by means that are not the code's: digits, letters and @ alone."""
    plain = fold(text).text
    return "".join(char for char in plain if char.isalnum() or char == "@").lower()


@given(st.data(), numbers, st.sampled_from(WORDS), st.sampled_from(WORDS), normal_forms)
def test_no_disguise_of_a_number_leaves(
    data: st.DataObject, number: tuple[str, str], before: str, after: str, form: str
) -> None:
    _, plain = number
    shape = data.draw(parted(plain))
    shape = in_form(data.draw(with_invisible(data.draw(other_digits(shape)))), form)
    text = before + data.draw(escaped(shape)) + after

    shown, kinds = without(text)

    assert kinds
    assert "".join(filter(str.isdigit, plain)) not in legible(shown)
    assert sum(char.isdigit() for char in legible(shown)) == 0


@given(st.data(), emails, st.sampled_from(WORDS), normal_forms)
def test_no_disguise_of_an_address_leaves(data: st.DataObject, email: str, before: str, form: str) -> None:
    text = before + data.draw(escaped(in_form(data.draw(with_invisible(email)), form)))

    shown, kinds = without(text)

    assert kinds in ([EMAIL], [UNREADABLE])
    assert "@" not in fold(shown).text
    assert legible(email.split("@")[1]) not in legible(shown)


@given(st.text(max_size=200))
def test_what_is_left_of_any_text_names_nobody(text: str) -> None:
    shown, kinds = without(text)

    assert find(shown) == []
    assert without(shown) == (shown, [])
    assert set(kinds) <= {*KINDS, UNREADABLE}
    assert kinds or shown == text


@given(st.lists(st.one_of(numbers.map(lambda number: number[1]), emails, st.sampled_from(WORDS)), max_size=6))
def test_many_in_one_text_are_all_removed(parts: Sequence[str]) -> None:
    shown, _ = without(" ; ".join(parts))

    assert find(shown) == []
    assert not any(len(part) > 8 and part in shown for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "Failed password for root from 203.0.113.7 port 40022 ssh2",
        "7d3a0f52c8",
        "2026-11-23T08:00:30.123Z 65536 times",
        "T1110.001",
        "1900 1234",
        "123456789",
        "a 9-digit 987654321 nobody labelled",
        "4111111111111112 fails its check digit",
        "192.0.2.255, 198.51.100.200",
        "100% sure, 5 %",
        "Dò quét mật khẩu SSH vào máy chủ một cửa UBND xã: 412 lần trong 7 phút",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    assert without(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gọi 0912 345 678 nhé", "gọi [phone] nhé"),
        ("+84 (0) 912.345.678", "+[phone]"),
        ("CCCD 001 099 012 345", "CCCD [citizen_id]"),
        ("số CMND: 123456789", "số CMND: [citizen_id]"),
        ("Chứng minh nhân dân số 123 456 789", "Chứng minh nhân dân số [citizen_id]"),
        ("thẻ 9704 1234 5678 9017 Napas", "thẻ [bank_card] Napas"),
        ("thẻ 4111-1111-1111-1111.", "thẻ [bank_card]."),
        ("GET /x?to=an%40tinh.gov.vn&p=1", "GET /x?to=[email]&p=1"),
        ("mail an @ tinh.gov.vn", "mail [email]"),
        ('"nguyen van an"@tinh.gov.vn', "[email]"),
        (r"{\"to\":\"an\u0040tinh.gov.vn\"}", r"{\"to\":\"[email]\"}"),
        ("0912345678 001099012345", "[phone] [citizen_id]"),
    ],
)
def test_the_rest_of_the_text_stays(text: str, shown: str) -> None:
    assert without(text)[0] == shown


def test_a_text_that_is_wrapped_deeper_than_it_is_read_is_removed_whole() -> None:
    text = "an@x.vn"
    for _ in range(6):
        text = "".join(f"&#{ord(char)};" for char in text)
        if len(text) > 60_000:
            break

    assert without(text) == (f"[{UNREADABLE}]", [UNREADABLE])


@pytest.mark.parametrize(
    "piece", ["1 ", "0", "@", "a@", "%25", "&#", "\\u0040", "\u0301", "ﷺ", "84.", "\\", "CMND ", '"a']
)
def test_the_longest_line_of_one_piece_takes_no_long_time(piece: str) -> None:
    with watchdog(f"a line of {piece!r}"):
        without((piece * 65_536)[:65_536])
