"""A signing key that is rotated in the middle of a backlog, with a real daemon and a real centre: nothing is lost."""

import json
import signal
import sqlite3
from base64 import urlsafe_b64decode
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from field import ORG, field_in, wait_for

from socmon.feed.keys import public_file, rotate


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def kid(body: bytes) -> str:
    header = json.loads(body)["socsig"].partition(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=="))["kid"])


def test_what_was_signed_before_a_rotation_is_stored_after_it(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        keys = tmp_path / "keys"
        place.start_centre()
        place.configure(["auth"])
        place.write("auth", 0, 60)
        place.start_daemon()
        wait_for(place.settled, "the first alerts delivered")
        assert place.centre is not None
        place.centre.send_signal(signal.SIGTERM)
        assert place.centre.wait(60) == 0
        place.write("auth", 60, 60)
        wait_for(lambda: place.reading().backlogs["ncsc"].waiting > 0, "a release that nobody answers")

        made = rotate(keys / "client-signing.jwks", datetime.now(UTC))
        public = public_file(keys / "client-signing.jwks")
        (keys / "signers" / f"{ORG}.jwks").write_bytes(public.read_bytes())
        wait_for(lambda: made.begin is not None and datetime.now(UTC) > made.begin, "the new key's time")
        place.write("auth", 120, 60)
        place.start_centre()
        wait_for(place.settled, "the backlog delivered")
        place.stop_daemon()

        assert place.findings() == place.reading().acknowledged["ncsc"]
        bodies = [body for (body,) in asked(place.root / "centre" / "centre.sqlite", "select body from events")]
        assert len({kid(body) for body in bodies}) == 2
        store = place.state / "socmon.db"
        assert asked(store, "select count(*) from released where state <> 'acknowledged' or receipt_id is null") == [
            (0,)
        ]
        assert place.stats()["organisations"][ORG]["quarantined"] == 0
