"""`socmon ncsc` as a process: ready line, clean stop, and a kill between commit and reply."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner
from feed_kit import ORG, enrol, message

from socmon.cli.ncsc import command
from socmon.feed.batch import BATCHES_PATH, pack
from socmon.feed.keys import KeyFiles, generate
from socmon.tls import client_context

START = "from socmon.cli.ncsc import command; command()"
STOP_S = 60


def options(folder: Path, keys: KeyFiles) -> list[str]:
    files = ["--cert", str(keys.centre), "--key", str(keys.centre_key), "--ca", str(keys.ca)]
    places = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", str(folder / "state")]
    return [*files, *places, "--organisation", f"{ORG}=Province"]


def made(folder: Path) -> KeyFiles:
    keys = generate(folder, ORG)
    enrol(keys)
    return keys


@contextmanager
def ncsc(folder: Path, keys: KeyFiles, failpoint: str = "") -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and its ready line."""
    env = {name: value for name, value in os.environ.items() if name != "SOCMON_FAILPOINT"}
    env |= {"SOCMON_FAILPOINT": failpoint} if failpoint else {}
    line = [sys.executable, "-c", START, *options(folder, keys)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


async def post(feed: str, keys: KeyFiles) -> list[str]:
    headers, body = pack([message(1)], "b")
    connector = aiohttp.TCPConnector(ssl=client_context(keys.ca, keys.client, keys.client_key))
    async with aiohttp.ClientSession(connector=connector) as session:
        response = await session.post(feed + BATCHES_PATH, data=body, headers=headers)
        return [result["status"] for result in (await response.json())["results"]]


async def test_a_terminated_centre_stops_cleanly(tmp_path: Path) -> None:
    keys = made(tmp_path)
    with ncsc(tmp_path, keys) as (process, ready):
        assert sorted(ready) == ["admin", "feed"]
        assert await post(ready["feed"], keys) == ["stored"]

        process.send_signal(signal.SIGTERM)

        assert process.wait(STOP_S) == 0


async def test_a_centre_killed_between_commit_and_reply_has_the_batch(tmp_path: Path) -> None:
    keys = made(tmp_path)
    with ncsc(tmp_path, keys, "centre.committed") as (process, ready):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await post(ready["feed"], keys)
        assert process.wait(STOP_S) == -signal.SIGKILL

    with ncsc(tmp_path, keys) as (_, ready):
        assert await post(ready["feed"], keys) == ["duplicate"]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (["--admin", "0.0.0.0:1"], "no password"),
        (["--listen", "8443"], "not ADDRESS:PORT"),
        (["--listen", "127.0.0.1:99999"], "not ADDRESS:PORT"),
        (["--organisation", "a b=c"], "no organisation"),
    ],
)
def test_an_impossible_option_is_a_usage_error(tmp_path: Path, changed: list[str], complaint: str) -> None:
    result = CliRunner().invoke(command, [*options(tmp_path, generate(tmp_path, ORG)), *changed])

    assert result.exit_code == 2
    assert complaint in result.output
