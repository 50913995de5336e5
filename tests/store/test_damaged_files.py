"""A store whose file is damaged where nothing can be salvaged: it is told by its path, what it is, and a remedy."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from damage_kit import fill, line
from store_kit import alert

from socmon.errors import StoreError
from socmon.ledger import Ledger
from socmon.store import Store, read
from socmon.store.verifying import verify

HEADER_BYTES = 100  # "The Database Header", sqlite.org/fileformat2.html


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "socmon.db"
    asyncio.run(fill(path, [alert(number, evidence=[line(number)]) for number in range(1, 21)]))
    return path.read_bytes()


async def opened(path: Path) -> Store:
    """As a daemon opens it."""
    store = Store(path, destinations=["ncsc"])
    await store.load()
    return store


@pytest.mark.parametrize("flipped", [0x01, 0xFF])
@pytest.mark.parametrize("at", range(HEADER_BYTES))
async def test_a_damaged_header_is_told_or_takes_nothing(whole: bytes, tmp_path: Path, at: int, flipped: int) -> None:
    path = tmp_path / "socmon.db"
    path.write_bytes(whole[:at] + bytes([whole[at] ^ flipped]) + whole[at + 1 :])

    try:
        store = await opened(path)
    except StoreError as error:
        told = str(error)
        assert str(path) in told
        assert "socmon db restore" in told or "newer socmon" in told
    else:
        await store.close()
        assert len(read(path).alerts) == 20
        assert verify(path).count == 0


@pytest.mark.parametrize("size_bytes", [2, 50, 100, 512, 4095, 4096, 9000])
async def test_a_file_that_was_cut_is_told(whole: bytes, tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "socmon.db"
    path.write_bytes(whole[:size_bytes])

    with pytest.raises(StoreError, match=r"is damaged: .*socmon db restore FILE"):
        await opened(path)

    assert path.read_bytes() == whole[:size_bytes]


@pytest.mark.parametrize("content", [b"", b"S"])  # SQLite takes one byte for none
async def test_an_empty_file_is_a_new_store_and_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "socmon.db"
    path.write_bytes(content)

    store = await opened(path)

    assert store.emptied
    await store.close()
    again = await opened(path)
    assert not again.emptied
    await again.close()


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x81\xa8accounts\x05", "text", 7, None])
async def test_detection_goes_on_where_it_was_though_the_ledger_is_lost(
    whole: bytes, tmp_path: Path, stored: object
) -> None:
    path = tmp_path / "socmon.db"
    path.write_bytes(whole)
    change(path, "update checkpoint set ledger = ?", stored)
    assert verify(path).count == 1

    store = Store(path)
    checkpoint = await store.load()

    assert checkpoint is not None
    assert (checkpoint.incarnation, checkpoint.number, checkpoint.ledger) == ("incarnation", 7, Ledger())
    assert store.forgotten
    await store.close()


@pytest.mark.parametrize("column", ["incarnation", "number"])
async def test_a_checkpoint_that_names_no_frame_is_no_place_to_go_on_from(
    whole: bytes, tmp_path: Path, column: str
) -> None:
    path = tmp_path / "socmon.db"
    path.write_bytes(whole)
    change(path, f"update checkpoint set {column} = ?", None)
    assert verify(path).count == 1

    store = Store(path)
    checkpoint = await store.load()

    assert checkpoint is not None
    assert (checkpoint.incarnation, checkpoint.number) == ("", 0)  # of no journal: it is read from its oldest frame
    await store.close()


async def test_what_cannot_be_made_of_a_table_is_told_as_damage_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "socmon.db")

    with pytest.raises(StoreError, match=r"table state cannot be read .*socmon db restore FILE"), store.whole("state"):
        raise LookupError("no such kind")

    await store.close()


def change(path: Path, statement: str, value: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement, (value,))
