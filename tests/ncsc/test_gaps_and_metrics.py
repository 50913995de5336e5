"""What the centre says is missing, and its metrics."""

import re
import subprocess
from pathlib import Path

import aiohttp
import pytest
from feed_kit import EPOCH, ORG, OTHER, altered, centre_and_client, message
from hypothesis import given, settings
from hypothesis import strategies as st
from ncsc_centre_kit import beat, post_beat, register_in
from ncsc_kit import keys_of
from prometheus_client.core import CounterMetricFamily
from prometheus_kit import needs_prometheus

from socmon.feed.checking import Limits, check, split
from socmon.ncsc.centre import Centre
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.metrics import TABLE
from socmon.ncsc.reading import Reading
from socmon.ncsc.standing import missing

LATER = "019ab4c0ffff"


async def page_of(centre: Centre, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(centre.admin_url + path) as response:
        assert response.status == 200
        return await response.text()


async def test_sequences_that_are_missing_behind_the_cursor_are_shown_as_ranges(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        # 4 is bad: it is quarantined, and so is not missing.
        await client.post([message(1), message(3), altered(message(4), data={}), message(8)])

        assert (await client.stats())["gaps"] == [
            {"stream": "normal", "epoch": EPOCH, "first": 2, "last": 2, "newest": True},
            {"stream": "normal", "epoch": EPOCH, "first": 5, "last": 7, "newest": True},
        ]
        assert (await client.stats(OTHER))["gaps"] == []


async def test_a_gap_is_gone_when_it_is_filled(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.post([message(1), message(3)])
        await client.post([message(2)])

        assert (await client.stats())["gaps"] == []


async def test_what_an_epoch_that_is_over_lacks_is_shown_and_not_waited_for(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.post([message(2)])
        await client.post([message(1, epoch=LATER, number=2)])

        gaps = (await client.stats())["gaps"]
        assert [(gap["epoch"], gap["newest"]) for gap in gaps] == [(EPOCH, False)]
        assert missing(gaps) == 0


@settings(max_examples=30, deadline=None)
@given(came=st.sets(st.integers(1, 30), min_size=1))
async def test_the_gaps_are_what_is_missing_between_the_cursor_and_the_last_that_came(
    tmp_path_factory: pytest.TempPathFactory, came: set[int]
) -> None:
    path = tmp_path_factory.mktemp("gaps") / "centre.sqlite"
    inbox = Inbox(path)
    await inbox.open()
    body = b"[" + b",".join(message(seq) for seq in sorted(came)) + b"]"
    await inbox.store(ORG, [check(raw, 64) for raw in split(body, Limits())])
    await inbox.close()

    found = {seq for gap in Reading(path).gaps() for seq in range(gap["first"], gap["last"] + 1)}

    assert found == set(range(1, max(came))) - came


async def test_metrics_tell_each_enrolled_organisation_s_standing(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        for _ in range(2):
            await client.post([message(1), message(4), altered(message(5), data={})])
        await post_beat(centre, keys_of(tmp_path), beat())

        lines = (await page_of(centre, "/metrics")).splitlines()

        label = f'{{organisation="{ORG}"}}'
        assert f"ncsc_events_total{label} 6.0" in lines
        assert f"ncsc_duplicate_events_total{label} 2.0" in lines
        assert f"ncsc_findings{label} 2.0" in lines
        assert f"ncsc_quarantined_events{label} 1.0" in lines
        assert f"ncsc_missing_events{label} 2.0" in lines
        assert f"ncsc_silent{label} 0.0" in lines
        assert f"ncsc_backlog_messages{label} 42.0" in lines
        assert f'ncsc_silent{{organisation="{OTHER}"}} 0.0' in lines
        assert not any(line.startswith("ncsc_clock_skew_seconds{") and OTHER in line for line in lines)
        assert {line.split()[2] for line in lines if line.startswith("# TYPE")} >= {*TABLE} - {
            "ncsc_events",
            "ncsc_duplicate_events",
        }


async def test_who_is_revoked_has_no_series_any_more(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await client.post([message(1)])
        register = register_in(tmp_path / "centre")
        register.revoke(ORG, actor="lan")
        register.close()

        assert ORG not in await page_of(centre, "/metrics")
        assert (await client.stats())["findings"] == 1


def test_the_page_on_the_centre_lists_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "centre.md").read_text("utf-8")

    listed = re.findall(r"^\| `(ncsc_[a-z_]+)` \| ([^|]+) \|$", page, re.MULTILINE)

    told = {f"{name}_total" if kind is CounterMetricFamily else name: text for name, (kind, text, _) in TABLE.items()}
    assert dict(listed) == told


@needs_prometheus
async def test_prometheus_finds_nothing_to_complain_of_in_the_metrics(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await client.post([message(1)])
        await post_beat(centre, keys_of(tmp_path), beat())
        text = await page_of(centre, "/metrics")

    told = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )

    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
