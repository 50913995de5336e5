"""TLS handshakes become one line of Zeek's ssl.log each, in whatever segments and records the hello comes."""

import random
from hashlib import md5, sha256
from struct import pack

import pytest
from packet_kit import Conversation, analysed, client_hello, of, run, server_hello, spaced, tcp, tls_record

HELLO = client_hello("www.example.com", ciphers=(0xC02F, 0x1301))
CHANGED, DATA = tls_record(b"\x01", kind=20), tls_record(bytes(40), kind=23)


def short(plain: bytes) -> str:
    return sha256(plain).hexdigest()[:12]


def handshake(hello: bytes, answer: bytes) -> Conversation:
    return Conversation(server_port=443).open().client(hello).server(answer)


def test_a_handshake_is_one_line_and_its_connection_is_of_ssl() -> None:
    talk = handshake(tls_record(HELLO), tls_record(server_hello()) + CHANGED + DATA).client(CHANGED + DATA).close()

    lines = analysed(spaced(talk.frames))

    (line,) = of(lines, "ssl")
    assert {key: line[key] for key in line if not key.startswith(("id.", "_", "ts", "uid"))} == {
        "version": "TLSv13", "cipher": "TLS_AES_128_GCM_SHA256", "curve": "x25519", "server_name": "www.example.com",
        "established": True, "ja3": md5(b"771,49199-4865,0-10-11-13-16-43-21,29,0").hexdigest(),
        "ja3s": md5(b"771,4865,43-51").hexdigest(),
        "ja4": f"t13d0207h2_{short(b'1301,c02f')}_{short(b'000a,000b,000d,0015,002b_0403,0804')}",
    }  # fmt: skip
    assert of(lines, "conn")[0]["service"] == "ssl"


def test_older_versions_are_established_once_both_sides_encrypt() -> None:
    secured = CHANGED + tls_record(bytes(40))
    talk = handshake(tls_record(HELLO), tls_record(server_hello(cipher=0xC02F, version=0x0303)))

    (begun,) = of(analysed(spaced(talk.frames)), "ssl")
    talk.client(secured).server(secured)
    (done,) = of(analysed(spaced(talk.frames)), "ssl")

    assert (begun["established"], done["established"]) == (False, True)
    assert (done["version"], done["cipher"]) == ("TLSv12", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")


@pytest.mark.parametrize("seed", range(8))
def test_a_hello_in_many_records_and_segments_out_of_order_is_one_line(seed: int) -> None:
    hello = client_hello("big.example", padding=6000)
    records = b"".join(tls_record(hello[at : at + 1000]) for at in range(0, len(hello), 1000))
    talk = Conversation(server_port=443).open()
    for at in range(0, len(records), 500):
        talk.client(records[at : at + 500])
    parts = talk.frames[3:] + talk.frames[3:6]
    random.Random(seed).shuffle(parts)

    (line,) = of(analysed(spaced([*talk.frames[:3], *parts])), "ssl")

    assert line["server_name"] == "big.example"
    assert line["ja4"] == of(analysed(spaced(handshake(tls_record(hello), b"").frames)), "ssl")[0]["ja4"]


def test_two_versions_of_a_segment_cannot_change_the_name_that_was_read() -> None:
    good, evil = tls_record(client_hello("good.example")), tls_record(client_hello("evil.example"))
    talk = Conversation(server_port=443).open()
    start = talk.next[True]
    pieces = [(good[:60], 0), (evil[:60], 0), (good[60:], 60), (evil[60:], 60)]
    frames = [tcp(*talk.ends[True], *talk.ends[False], 16, start + at, data) for data, at in pieces]

    (line,) = of(analysed(spaced(talk.frames + frames)), "ssl")

    assert line["server_name"] == "good.example"


def test_tls_that_begins_after_plain_text_is_found() -> None:
    talk = Conversation(server_port=25).open().server(b"220 mail.example ESMTP\r\n").client(b"EHLO a\r\n")
    talk.server(b"250 STARTTLS\r\n").client(b"STARTTLS\r\n").server(b"220 go\r\n")
    talk.client(tls_record(client_hello("mail.example")))

    assert [line["server_name"] for line in of(analysed(spaced(talk.frames)), "ssl")] == ["mail.example"]


def test_a_hello_that_is_cut_within_is_bad_and_one_of_no_end_is_left() -> None:
    cut = b"\x01" + (30).to_bytes(3, "big") + HELLO[4:34]
    _, analysis = run(spaced(handshake(tls_record(cut), b"").frames))
    endless = b"\x01\xff\xff\xff" + bytes(16_000)
    lines, _ = run(spaced(handshake(tls_record(endless), b"").frames))

    assert analysis.counts.bad == 1
    assert of(lines, "ssl") == []


@pytest.mark.parametrize(
    ("alpn", "shown"), [("h2", "h2"), ("http/1.1", "h1"), ("", "00"), ("é", "99"), ("-x", "28"), ("x-", "7d")]
)
def test_the_first_protocol_stands_in_ja4_by_its_ends(alpn: str, shown: str) -> None:
    (line,) = of(analysed(spaced(handshake(tls_record(client_hello(alpn=alpn)), b"").frames)), "ssl")

    assert line["ja4"].split("_")[0] == f"t13d0207{shown}"


def test_grease_makes_no_difference_to_a_fingerprint() -> None:
    plain, greased = client_hello(), client_hello(ciphers=(0x1A1A, 0x1301, 0xC02F))

    first, second = (
        of(analysed(spaced(handshake(tls_record(hello), b"").frames)), "ssl")[0] for hello in (plain, greased)
    )

    assert (first["ja3"], first["ja4"]) == (second["ja3"], second["ja4"])


def test_a_name_of_hostile_bytes_stays_valid_text() -> None:
    hello = client_hello("aaaa").replace(b"aaaa", b'\xff\n"\x00')

    (line,) = of(analysed(spaced(handshake(tls_record(hello), b"").frames)), "ssl")

    assert line["server_name"] == '\\xff\n"\0'


def test_what_is_no_record_ends_the_reading() -> None:
    talk = handshake(tls_record(HELLO), b"\x17\x09\x09\0\x01x" + pack("!I", 7)).client(b"whatever follows")

    (line,) = of(analysed(spaced(talk.frames)), "ssl")

    assert line["established"] is False
