"""Requests of HTTP/1 become lines of Zeek's http.log, all of a connection, whatever pieces they come in."""

import pytest
from packet_kit import ACK, PSH, Conversation, analysed, client_hello, of, run, spaced, tls_record

from socmon.network import Analysis, Limits

REQUEST = b"GET /%d HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8\r\nReferer: http://a/\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def test_a_request_and_its_response_are_one_line() -> None:
    talk = Conversation().open().client(REQUEST % 1).server(OK).close()

    lines = analysed(spaced(talk.frames))

    (line,) = of(lines, "http")
    assert {key: line[key] for key in line if not key.startswith(("id.", "_", "ts", "uid"))} == {
        "trans_depth": 1, "method": "GET", "host": "www.example.com", "uri": "/1", "referrer": "http://a/",
        "version": "1.1", "user_agent": "curl/8", "request_body_len": 0, "status_code": 200, "status_msg": "OK",
    }  # fmt: skip
    (conn,) = of(lines, "conn")
    assert (conn["uid"], conn["service"]) == (line["uid"], "http")


def test_all_requests_of_a_connection_that_is_kept_are_told() -> None:
    talk = Conversation().open()
    for number in range(3):
        talk.client(REQUEST % number).server(OK)

    lines = of(analysed(spaced(talk.close().frames)), "http")

    assert [(line["trans_depth"], line["uri"], line["status_code"]) for line in lines] == [
        (1, "/0", 200), (2, "/1", 200), (3, "/2", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_pieces_make_no_difference(size: int) -> None:
    post = b"POST /p HTTP/1.1\r\nhost: h\r\nContent-Length: 3\r\n\r\nabc"
    chunked = (
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n3\r\n1.1\r\n0\r\nT: t\r\n\r\n"
    )
    said, told = post + REQUEST % 2 + b"\r\n" + REQUEST % 3, chunked + b"HTTP/1.1 304 Same\r\n\r\n" + OK
    talk = Conversation().open()
    for at in range(0, len(said), size):
        talk.client(said[at : at + size])
    for at in range(0, len(told), size):
        talk.server(told[at : at + size])

    lines = of(analysed(spaced(talk.frames, apart=0.001)), "http")

    assert [(line["method"], line["uri"], line["status_code"], line["status_msg"]) for line in lines] == [
        ("POST", "/p", 404, "Not Found"), ("GET", "/2", 304, "Same"), ("GET", "/3", 200, "OK"),
    ]  # fmt: skip


def test_a_head_has_no_body_and_a_continue_is_no_response() -> None:
    talk = (
        Conversation().open().client(b"HEAD / HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    )
    talk.client(REQUEST % 2).server(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    assert [line["status_code"] for line in of(analysed(spaced(talk.frames)), "http")] == [200, 200]


def test_a_request_without_a_response_is_told_when_its_flow_ends() -> None:
    (line,) = of(analysed(spaced(Conversation().open().client(REQUEST % 1).frames)), "http")

    assert line["uri"] == "/1"
    assert "status_code" not in line


def test_a_response_is_told_of_before_its_body_ends() -> None:
    talk = Conversation().open().client(REQUEST % 1).server(b"HTTP/1.1 200 OK\r\n\r\nendless")
    lines: list[bytes] = []
    analysis = Analysis(lines.append)
    for ts, frame in spaced(talk.frames):
        analysis.packet(frame, ts)

    assert len(lines) == 1


def test_what_follows_a_connect_is_looked_at_anew() -> None:
    talk = (
        Conversation().open().client(b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n")
    )
    talk.client(tls_record(client_hello("inner.example"))).close()

    lines = analysed(spaced(talk.frames))

    assert [line["method"] for line in of(lines, "http")] == ["CONNECT"]
    assert [line["server_name"] for line in of(lines, "ssl")] == ["inner.example"]


def test_a_lost_part_of_a_body_does_no_harm_and_one_of_a_head_loses_one_request() -> None:
    talk = Conversation().open().client(REQUEST % 1)
    talk.send(False, PSH | ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")
    body = [talk.send(False, ACK, bytes(1000)) for _ in range(400)]
    talk.client(REQUEST % 2).server(OK)
    frames = [frame for frame in talk.frames if frame is not body[3]]

    lines, analysis = run(spaced(frames, apart=0.001))

    assert [line["status_code"] for line in of(lines, "http")] == [200, 200]
    assert analysis.counts.unbuffered > 0


def test_hostile_text_stays_one_line_of_valid_json() -> None:
    talk = Conversation().open().client(b'GET /\xff"\\\xe2\x80\xa8\x1b HTTP/1.1\r\nHost: \xc3\xa9\xed\xa0\x80\r\n\r\n')

    (line,) = of(analysed(spaced(talk.frames)), "http")

    assert line["uri"] == '/\\xff"\\\u2028\x1b'
    assert line["host"] == "é\\xed\\xa0\\x80"


def test_neither_the_port_matters_nor_that_the_beginning_was_missed() -> None:
    talk = Conversation(server_port=31337).open().client(REQUEST % 1).server(OK)

    (line,) = of(analysed(spaced(talk.frames[3:])), "http")

    assert (line["id.resp_p"], line["status_code"]) == (31337, 200)


def test_what_only_looks_like_a_request_makes_no_line() -> None:
    sip = Conversation(server_port=5060).open().client(b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n")
    text = Conversation(port=50001).open().client(b"GETTING somewhere, slowly\r\n\r\n")

    assert of(analysed(spaced(sip.frames + text.frames)), "http") == []


def test_heads_that_never_end_hold_no_more_than_all_flows_may() -> None:
    talks = [
        Conversation(port=port).open().client(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000) for port in range(1000, 1100)
    ]

    lines, analysis = run(spaced([frame for talk in talks for frame in talk.frames]), limits=Limits(buffered=10_000))

    assert len(of(lines, "conn")) == 100
    assert analysis.counts.unbuffered > 50
    assert analysis._budget.left == 10_000


def test_more_requests_than_may_wait_are_told_without_their_responses() -> None:
    talk = Conversation().open().client(REQUEST % 1 * 100)

    lines, _ = run(spaced(talk.frames))

    assert [line["trans_depth"] for line in of(lines, "http")] == list(range(1, 101))
