"""Templates that are late, doubled, changed, withdrawn or mad; datagrams that are lost, cut or mixed up."""

import pytest
from netflow_kit import FIELDS4, FIELDS6, a_set, decoded, ends, flow, ipfix, records, template, v5, v9

from socmon.errors import ParseError
from socmon.network.flow_exporters import Limits
from socmon.network.netflow import Decoder

TURNED = [(12, 4), (8, 4), *FIELDS4[2:]]  # as long as FIELDS4, and says something else
TEMPLATE9, TEMPLATE10 = a_set(0, template(256, FIELDS4)), a_set(2, template(256, FIELDS4))
DATA = a_set(256, records(FIELDS4, flow(1), flow(2)))


def sources(lines: list[dict[str, object]]) -> list[object]:
    return [line["id.orig_h"] for line in lines]


def test_one_template_id_of_two_exporters_domains_and_versions_is_told_apart() -> None:
    decoder, data = Decoder(), a_set(256, records(FIELDS4, flow(1)))
    decoded(decoder, v9(TEMPLATE9), exporter="192.0.2.1")
    decoded(decoder, v9(a_set(0, template(256, TURNED))), exporter="192.0.2.2")
    decoded(decoder, v9(a_set(0, template(256, TURNED)), source=9), exporter="192.0.2.1")
    decoded(decoder, ipfix(a_set(2, template(256, TURNED))), exporter="192.0.2.1")

    found = [
        sources(decoded(decoder, v9(data), exporter="192.0.2.1")),
        sources(decoded(decoder, v9(data), exporter="192.0.2.2")),
        sources(decoded(decoder, v9(data, source=9), exporter="192.0.2.1")),
        sources(decoded(decoder, ipfix(data), exporter="192.0.2.1")),
    ]

    assert found == [["10.0.0.1"], ["198.51.100.7"], ["198.51.100.7"], ["198.51.100.7"]]


def test_data_before_its_template_waits_and_is_the_same_then() -> None:
    in_order, late = Decoder(), Decoder()
    right = decoded(in_order, v9(TEMPLATE9, sequence=1), v9(DATA, sequence=2))

    before = decoded(late, v9(DATA, sequence=2), now_s=10.0)
    after = decoded(late, v9(TEMPLATE9, sequence=1), now_s=11.0)

    assert before == []
    assert after == right
    assert (late.counts.held, late.counts.lost) == (1, 0)


def test_data_in_the_datagram_of_its_template_may_stand_before_it() -> None:
    assert len(decoded(Decoder(), ipfix(DATA, TEMPLATE10))) == 2


def test_data_that_waited_too_long_or_is_too_much_is_counted() -> None:
    decoder = Decoder(Limits(held_s=60, held_bytes=3 * (len(DATA) - 4)))

    decoded(decoder, *[v9(DATA, sequence=number) for number in range(4)], now_s=0.0)
    assert (decoder.counts.held, decoder.counts.lost) == (4, 1)
    decoded(decoder, v9(DATA), now_s=30.0)
    assert decoder.counts.lost == 2
    assert len(decoded(decoder, v9(TEMPLATE9), now_s=61.0)) == 2
    assert decoder.counts.lost == 4

    decoded(decoder, v9(DATA, source=5), now_s=61.0)
    decoder.give_up()
    assert decoder.counts.lost == 5


def test_a_template_that_changes_counts_at_once_and_one_that_is_repeated_is_no_news() -> None:
    decoder = Decoder()

    decoded(decoder, v9(TEMPLATE9))
    assert decoder.changed
    decoded(decoder, v9(TEMPLATE9))
    assert not decoder.changed
    lines = decoded(decoder, v9(a_set(0, template(256, TURNED)), DATA))

    assert decoder.changed
    assert sources(lines) == ["198.51.100.7"] * 2


@pytest.mark.parametrize("withdrawn", [a_set(2, b"\1\0\0\0"), a_set(2, b"\0\2\0\0")])
def test_a_template_that_is_withdrawn_reads_nothing_any_more(withdrawn: bytes) -> None:
    decoder = Decoder()

    assert decoded(decoder, ipfix(TEMPLATE10), ipfix(withdrawn), ipfix(DATA)) == []
    assert decoder.counts.held == 1


def test_padding_behind_a_template_withdraws_nothing() -> None:
    decoder = Decoder()

    lines = decoded(decoder, ipfix(TEMPLATE10), ipfix(a_set(2, template(257, FIELDS6) + bytes(4))), ipfix(DATA))

    assert len(lines) == 2


def test_templates_beyond_the_bound_are_forgotten_the_oldest_first() -> None:
    decoder = Decoder(Limits(templates=2))
    for kind in (256, 257, 256, 258):  # 256 is told again, so 257 is the oldest
        decoded(decoder, v9(a_set(0, template(kind, FIELDS4))))

    found = [len(decoded(decoder, v9(a_set(kind, records(FIELDS4, flow(1)))))) for kind in (256, 257, 258)]

    assert found == [1, 0, 1]


def test_made_up_exporters_push_out_the_least_used_one_only() -> None:
    decoder = Decoder(Limits(exporters=3, all_templates=4))
    decoded(decoder, v9(TEMPLATE9), exporter="192.0.2.1")
    for number in range(2, 20):
        decoded(decoder, v9(TEMPLATE9, a_set(0, template(257, FIELDS4))), exporter=f"192.0.2.{number}")
        assert len(decoded(decoder, v9(DATA), exporter="192.0.2.1")) == 2


def test_made_up_domains_of_an_exporter_cost_only_that_exporter() -> None:
    decoder = Decoder(Limits(domains=4))
    decoded(decoder, v9(TEMPLATE9), exporter="192.0.2.1")
    for number in range(20):
        decoded(decoder, v9(TEMPLATE9, source=number), v9(a_set(300, bytes(40)), source=number), exporter="192.0.2.2")

    assert len(decoded(decoder, v9(DATA), exporter="192.0.2.1")) == 2
    assert decoded(decoder, v9(DATA, source=0), exporter="192.0.2.2") == []
    assert decoder.counts.lost == 17  # with the domains that were forgotten


@pytest.mark.parametrize(
    "mad",
    [
        template(256, [(8, 0), (12, 0)]),  # records of no length
        template(256, [(8, 60_000), (12, 60_000)]),  # which no datagram holds
        template(256, FIELDS4)[:-2],
        b"\1\0\xff\xff" + bytes(4),
    ],
)
def test_a_template_that_makes_no_sense_is_counted_and_forgotten(mad: bytes) -> None:
    decoder = Decoder()

    assert decoded(decoder, v9(a_set(0, mad, pad=False)), v9(DATA)) == []
    assert (decoder.counts.malformed, decoder.counts.held) == (1, 1)


# ── numbering ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gap_in_the_numbering_is_counted_by_how_much_it_leaves_out() -> None:
    decoder = Decoder()
    decoded(decoder, v5(flow(1), flow(2), sequence=100), v5(flow(3), sequence=102), v5(flow(4), sequence=110))
    assert (decoder.counts.gaps, decoder.counts.missed) == (1, 7)
    decoded(decoder, v9(TEMPLATE9, sequence=2**32 - 1), v9(DATA, sequence=0), v9(DATA, sequence=3))
    assert (decoder.counts.gaps, decoder.counts.missed) == (2, 9)
    decoded(decoder, ipfix(TEMPLATE10, sequence=50), ipfix(DATA, sequence=50), ipfix(DATA, sequence=52))
    assert (decoder.counts.gaps, decoder.counts.missed) == (2, 9)
    decoded(decoder, ipfix(DATA, sequence=60))
    assert (decoder.counts.gaps, decoder.counts.missed) == (3, 15)


def test_an_exporter_that_begins_anew_or_sends_late_leaves_no_gap() -> None:
    decoder = Decoder()
    decoded(decoder, *[v9(TEMPLATE9, sequence=number) for number in (500, 501, 0, 1, 0, 1)])

    assert decoder.counts.gaps == 0


def test_data_that_cannot_be_read_yet_is_no_gap_of_ipfix() -> None:
    decoder = Decoder()
    decoded(decoder, ipfix(DATA, sequence=0), ipfix(TEMPLATE10, sequence=2), ipfix(DATA, sequence=2))

    assert decoder.counts.gaps == 0


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("datagram", "whole"),
    [
        (v5(flow(1), flow(2), flow(3)), 3),
        (v9(TEMPLATE9, DATA), 2),
        (ipfix(TEMPLATE10, DATA), 2),
    ],
)
def test_a_datagram_that_is_cut_gives_what_was_whole_and_is_counted(datagram: bytes, whole: int) -> None:
    right = [ends(line) for line in decoded(Decoder(), datagram)]
    assert len(right) == whole
    quiet = list[int]()
    for length in range(len(datagram)):
        decoder = Decoder()
        found = [ends(line) for line in decoded(decoder, datagram[:length])]
        assert found == right[: len(found)]
        if not (decoder.counts.malformed or decoder.counts.unknown_version):
            quiet.append(length)
    # Only v9 does not say how long it is: where it is cut between two sets nothing tells that there was another one.
    assert quiet == ([20, 20 + len(TEMPLATE9)] if datagram.startswith(b"\0\x09") else [])


@pytest.mark.parametrize("datagram", [b"", b"\0", b"\0\5", b"\0\x08" + bytes(40), b"<38>Nov 22 10:00:00 web1 a: b"])
def test_what_is_no_flow_export_is_counted(datagram: bytes) -> None:
    decoder = Decoder()

    assert decoded(decoder, datagram) == []
    assert decoder.counts.malformed + decoder.counts.unknown_version == 1


def test_ipfix_that_says_it_is_shorter_ends_there() -> None:
    whole = ipfix(TEMPLATE10, DATA)
    shorter = whole[:2] + (16 + len(TEMPLATE10)).to_bytes(2, "big") + whole[4:]
    decoder = Decoder()

    assert decoded(decoder, shorter) == []
    assert decoder.counts.malformed == 0


# ── over a restart ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_an_exporter_told_is_known_again_after_a_restart() -> None:
    before, after = Decoder(), Decoder()
    option = (257).to_bytes(2, "big") + b"\0\2\0\1\0\x95\0\4\0\x22\0\4"
    decoded(before, ipfix(a_set(3, option), a_set(257, (7).to_bytes(4, "big") + (100).to_bytes(4, "big")), TEMPLATE10))
    decoded(before, v9(TEMPLATE9, source=3))
    state = before.state("192.0.2.1")
    assert state is not None

    after.restore("192.0.2.1", state)

    assert [line["netflow.sampling"] for line in decoded(after, ipfix(DATA))] == [100, 100]
    assert len(decoded(after, v9(DATA, source=3))) == 2
    assert decoded(after, v9(DATA), exporter="192.0.2.2") == []
    assert before.state("192.0.2.2") is None


def test_a_state_beyond_the_bound_is_not_kept() -> None:
    decoder = Decoder(Limits(state_bytes=50))
    decoded(decoder, v9(TEMPLATE9))

    assert decoder.state("192.0.2.1") is None


@pytest.mark.parametrize(
    "state", [b"", b"\xc1", b"\x93\1\2\3", b"\x91\x96\x09\0\x91\x93\xcd\1\0\xc2\xc4\3abc\x80\0\xc0"]
)
def test_a_state_that_is_none_is_told(state: bytes) -> None:
    with pytest.raises(ParseError):
        Decoder().restore("192.0.2.1", state)
