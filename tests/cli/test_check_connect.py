"""`socmon check --connect` against centres and strangers that run: what is open, what is not; nothing is sent."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from certificate_kit import Stranger, expired, revalidated
from field import Field, field_in, wait_for
from port_kit import keep
from store_kit import valid

from socmon.feed.keys import generate

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
ALL = ["own", "name", "tcp", "tls", "clock", "centre"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    with field_in(tmp_path / "province") as place:
        place.keep_feed_port()
        place.configure(["auth"])
        yield place


def check(place: Field, *words: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), "--lang", lang]
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=90, check=False)


def tried(place: Field, code: int, *words: str) -> dict[str, dict[str, Any]]:
    """By name of the destination: its state, and its steps by name."""
    done = check(place, "-o", "json", "check", "--connect", *words)
    assert done.returncode == code, done.stdout + done.stderr
    told = valid(json.loads(done.stdout), "check.v1")
    assert told["ok"] is (code == 0)
    return {
        each["name"]: each | {"steps": {step["name"]: step for step in each["steps"]}} for each in told["destinations"]
    }


def errors(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Steps with an error, which can only be the last."""
    steps = [*found["steps"].values()]
    assert not any(step["error"] for step in steps[:-1])
    return [(step["name"], step["error"]) for step in steps if step["error"]]


def reconfigure(place: Field, **changes: Any) -> None:
    """Change options of the destination `ncsc`."""
    config = json.loads((place.root / "config.yaml").read_text())
    config["forwarders"]["ncsc"] |= changes
    (place.root / "config.yaml").write_text(json.dumps(config))


def test_an_open_way_to_the_centre_is_told_step_by_step_and_nothing_is_sent(place: Field) -> None:
    place.start_centre()

    found = tried(place, 0)["ncsc"]

    assert (found["kind"], found["state"], list(found["steps"])) == ("ncsc", "ok", ALL)
    assert found["steps"]["tls"]["values"]["version"] == "TLSv1.3"
    assert "CN=" in found["steps"]["tls"]["values"]["subject"]
    assert abs(found["steps"]["clock"]["values"]["skew_s"]) < 60
    assert found["steps"]["centre"]["values"]["status"] in {200, 404}
    assert all(each["events_received"] == 0 for each in place.stats()["organisations"].values())
    shown = {lang: check(place, "check", "--connect", lang=lang).stdout for lang in ("en", "vi")}
    assert f"ok  ncsc: tcp: 127.0.0.1:{place.feed_port} takes connections" in shown["en"]
    assert f"ncsc: tcp: 127.0.0.1:{place.feed_port} nhận kết nối" in shown["vi"]


def test_a_certificate_that_ends_soon_is_a_warning(place: Field) -> None:
    keys = place.root.parent / "keys"
    now = datetime.now(UTC)
    revalidated(keys / "client.pem", keys / "ca.key", now - timedelta(days=1), now + timedelta(days=5))
    place.start_centre()

    found = tried(place, 0)["ncsc"]

    assert (found["state"], found["steps"]["own"]["state"]) == ("warning", "warning")


def test_our_own_certificate_that_is_expired_is_found_before_anybody_is_asked(place: Field) -> None:
    keys = place.root.parent / "keys"
    expired(keys / "client.pem", keys / "ca.key")

    ((step, error),) = errors(tried(place, 78)["ncsc"])

    assert step == "own"
    assert "client.pem expired at" in error


def test_an_authority_that_did_not_sign_the_centre_is_named(place: Field, tmp_path: Path) -> None:
    generate(tmp_path / "others", "000.00.00.H61")
    reconfigure(place, ca=str(tmp_path / "others" / "ca.pem"))
    place.start_centre()

    ((step, error),) = errors(tried(place, 1)["ncsc"])

    assert step == "tls"
    assert f"is not signed by {tmp_path / 'others' / 'ca.pem'}" in error


def test_a_centre_that_does_not_take_our_certificate_says_so(place: Field, tmp_path: Path) -> None:
    generate(tmp_path / "others", "000.00.00.H07")
    others = tmp_path / "others"
    reconfigure(place, cert=str(others / "client.pem"), key=f"file:{others / 'client.key'}")
    place.start_centre()

    ((step, error),) = errors(tried(place, 1)["ncsc"])

    assert step in {"tls", "centre"}
    assert "does not accept our certificate" in error


def test_a_server_whose_certificate_is_expired_is_told_nothing(place: Field) -> None:
    keys = place.root.parent / "keys"
    expired(keys / "centre.pem", keys / "ca.key")
    assert place.kept is not None
    place.kept.close()
    with Stranger(place.feed_port, keys / "centre.pem", keys / "centre.key").running() as stranger:
        ((step, error),) = errors(tried(place, 1)["ncsc"])

    assert (step, stranger.told) == ("tls", b"")
    assert "is not valid today" in error


def test_a_port_where_nobody_listens_and_a_host_that_is_none_are_told_apart(place: Field) -> None:
    ((tcp, refused),) = errors(tried(place, 1)["ncsc"])
    reconfigure(place, url="https://nowhere.invalid:8443")
    ((name, unknown),) = errors(tried(place, 1)["ncsc"])

    assert (tcp, name) == ("tcp", "name")
    assert "nothing listens at" in refused
    assert "nowhere.invalid has no address" in unknown


def test_a_server_that_says_nothing_is_given_up_in_time(place: Field) -> None:
    assert place.kept is not None
    place.kept.close()
    with socket.create_server(("127.0.0.1", place.feed_port)):
        ((step, error),) = errors(tried(place, 1, "--timeout", "0.5")["ncsc"])

    assert step == "tls"
    assert "did not answer within 0.5 s" in error


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_a_centre_whose_clock_is_off_by_ten_minutes_is_told(place: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as moved:
        moved.setenv("LD_PRELOAD", str(FAKETIME))
        moved.setenv("FAKETIME", "+10m")
        moved.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        place.start_centre()

    found = tried(place, 1)["ncsc"]["steps"]

    assert found["clock"]["state"] == "problem"
    said = check(place, "check", "--connect").stderr
    assert "the clock of a destination is not ours" in said
    assert "can be reached" not in said
    assert 540 < found["clock"]["values"]["skew_s"] < 660
    assert found["centre"]["error"] == ""


def test_other_kinds_are_only_connected_to_and_a_file_cannot_be_tried(place: Field, tmp_path: Path) -> None:
    keys = place.root.parent / "keys"
    (tmp_path / "secret").write_bytes(b"0123456789abcdef0123456789abcdef")
    with keep() as kept:
        port = kept.getsockname()[1]
    with Stranger(port, keys / "centre.pem", keys / "centre.key").running() as stranger:
        tls = {"ca": str(keys / "ca.pem")}
        config = {
            "state_dir": str(place.state),
            "forwarders": {
                "siem": {"kind": "syslog", "host": "127.0.0.1", "port": port, **tls},
                "broker": {"kind": "mqtt", "host": "127.0.0.1", "port": port, **tls},
                "bus": {
                    "kind": "kafka",
                    "servers": [f"127.0.0.1:{port}", f"localhost:{port}", f"127.0.0.1:{port}"],
                    "topic": "alerts",
                    **tls,
                },
                "hook": {
                    "kind": "webhook",
                    "url": f"https://127.0.0.1:{port}/x",
                    "secrets": [f"file:{tmp_path}/secret"],
                    **tls,
                },
                "out": {"kind": "file", "path": str(tmp_path / "alerts")},
            },
        }
        (place.root / "config.yaml").write_text(json.dumps(config))
        done = check(place, "-o", "json", "check", "--connect")
        wait_for(lambda: stranger.called == 5, "five connections")

    told = {each["name"]: each for each in json.loads(done.stdout)["destinations"]}
    assert done.returncode == 0, done.stdout
    way = ["name", "tcp", "tls"]
    assert {name: [step["name"] for step in each["steps"]] for name, each in told.items()} == {
        "siem": way, "broker": way, "bus": way * 2, "hook": way, "out": [],
    }  # fmt: skip
    assert (told["out"]["state"], stranger.told) == ("untried", b"")


def test_a_configuration_with_mistakes_is_told_and_nobody_is_tried(place: Field) -> None:
    shutil.rmtree(place.root.parent / "keys")
    (place.root / "config.yaml").write_text("colectors: {}\n")

    assert tried(place, 78) == {}
