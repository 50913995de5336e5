"""Records of socmon's own: read back as they were written, and of no other collector."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socmon.errors import ParseError
from socmon.event import OWN, LogSource, Record, Source
from socmon.parsers import FORMATS, detect, own, parse
from socmon.parsers.own import OwnLine

OURS = Source(collector=OWN, peer="test", format=OWN)
LINE = OwnLine("test", 1_795_435_200_000_001, "lan tests the way", {"test_id": "a", "actor": "lan"})
DATA = msgspec.json.encode(LINE)


def record(data: bytes = DATA, source: Source = OURS) -> Record:
    return Record(data, source, 5)


def test_a_record_is_read_back_as_it_was_written() -> None:
    event = parse(record())

    assert event.fields == {"test_id": "a", "actor": "lan", "message": "lan tests the way"}
    assert event.logsource == LogSource(product="socmon", service="test")
    assert (event.time_us, event.time_known, event.host) == (LINE.time_us, "stated", "")


def test_what_a_record_says_of_a_host_happened_to_that_host() -> None:
    line = msgspec.structs.replace(LINE, fields={"host": "mail-01"})

    assert parse(record(msgspec.json.encode(line))).host == "mail-01"


def test_a_record_of_another_collector_is_refused() -> None:
    with pytest.raises(ParseError, match="only socmon itself writes"):
        parse(record(source=Source(collector="auth", peer="/var/log/auth.log", format=OWN)))


def test_the_format_is_neither_offered_nor_detected() -> None:
    assert OWN not in FORMATS
    assert detect([DATA] * 5) != OWN
    assert not own.fits(DATA)


@pytest.mark.parametrize("product", ["socmon", "SocMon"])
def test_no_other_format_can_name_our_log_source(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tag is lower-cased into the service only; a format in which a sender states its product is stood in for here.
    class Stating:
        @staticmethod
        def parse(record: Record, *, year: int | None, undated: bool) -> object:
            ours = own.parse(msgspec.structs.replace(record, source=OURS), year=year, undated=undated)
            ours.logsource = LogSource(product=product, service="test")
            return ours

    monkeypatch.setattr("socmon.parsers._ALL", {"stating": Stating})

    event = parse(record(source=Source(collector="auth", peer="x", format="stating")))

    assert event.logsource == LogSource()


@given(
    st.binary(max_size=200)
    | st.builds(lambda at, new: DATA[:at] + new + DATA[at + 1 :], st.integers(0, 90), st.binary(max_size=3))
)
def test_damaged_records_raise_parse_errors_only(data: bytes) -> None:
    try:
        event = parse(record(data))
    except ParseError:
        return
    assert event.logsource.product == "socmon"


@pytest.mark.parametrize("time_us", [-1, 10**18])
def test_a_time_that_does_not_exist_is_refused(time_us: int) -> None:
    data = msgspec.json.encode(msgspec.structs.replace(LINE, time_us=time_us))

    with pytest.raises(ParseError, match="no such time"):
        parse(record(data))
