"""Reports of incidents over stores of one's own choice, and a page taken apart as a browser does it."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

from store_kit import START_US, Place, S, alert, valid

from socmon.component import Outcome
from socmon.event import Evidence
from socmon.store import Routing, Store

ESCAPES = "\x1b[2J\x1b]52;c;cm0gLXJm\x07 \u202egpj.exe \x9b31m \x00 \u2028 \x7f"
MARKUP = """<script>alert(1)</script>"'><img src=x onerror=alert(1)></style></td></bdi><!-- {{ 7*7 }} {% raw %} &lt;"""
HOSTILE = MARKUP + ESCAPES
SENDER = """
state_dir: state
reports: {org_name: "UBND tỉnh Vĩnh Long", contact: "0270 3 000 000"}
forwarders:
  ncsc: {kind: ncsc, url: "https://127.0.0.1:1", ca: ca.pem, cert: c.pem, key: "file:c.key", org_id: 000.00.00.H07,
         org_path: [000.00.00.G01, 000.00.00.H07], system_id: ttdl, system_level: 3, tlp: AMBER+STRICT}
"""


class Page(HTMLParser):
    """A page as a browser takes it apart: elements, attributes, sections, text; open elements must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def having(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def headings(self, html: str) -> list[str]:
        return re.findall(r"<(?:h1|h2|th)[^>]*>([^<]+)<", html)


def critical(number: int = 1, **changes: Any) -> Any:
    return alert(number, **({"level": "critical"} | changes))


def page(place: Place, *words: str, lang: str = "en") -> str:
    done = place.socmon("--lang", lang, "--tz", "Asia/Ho_Chi_Minh", "report", "incident", "00000001", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def data(place: Place, *words: str) -> dict[str, Any]:
    done = place.socmon("report", "incident", "00000001", "--json", *words)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = valid(json.loads(done.stdout), "report.incident.v1")["report"]
    return report


def write_down(place: Place, *texts: str, time_us: int = START_US) -> None:
    """Comments in the alert's history, as the daemon writes them."""
    with closing(sqlite3.connect(place.store)) as db, db:
        for number, text in enumerate(texts):
            db.execute(
                "insert into history (alert_id, time_us, actor, verb, status_before, status_after, reason, text,"
                " analyst_revision) values (?, ?, 'an', 'comment', 'open', 'open', '', ?, 0)",
                (alert(1).id, time_us + number, text),
            )


def accept(place: Place, *destinations: str) -> None:
    """Let each of `destinations` answer for what waits for it, as a centre does."""

    async def work() -> None:
        store = Store(place.store, destinations=destinations)
        for name in destinations:
            routing = Routing(name, lambda _: "urgent", lambda *_: b"{}")
            await store.release(routing, limit=10, now_us=START_US, interval_us=0)
            for batch in await store.waiting(name, 10):
                await store.settle([Outcome(item.id, "accepted") for item in batch], START_US + S)
        await store.close()

    asyncio.run(work())


def hostile(place: Place) -> None:
    place.config.write_text(SENDER)
    raw = HOSTILE + "x" * 9000
    place.put(
        critical(
            title=HOSTILE, host=HOSTILE, agency=HOSTILE, group={HOSTILE: HOSTILE}, tags=[f"attack.{HOSTILE}"],
            entities={"user": [HOSTILE] * 80, HOSTILE: [HOSTILE]}, rule_id=HOSTILE,
            evidence=[Evidence(1, 1 * S, HOSTILE, HOSTILE, HOSTILE, raw, "ab" * 32, {HOSTILE: HOSTILE}, cut=True)],
        ),
        destinations=("ncsc", HOSTILE),
    )  # fmt: skip
    write_down(place, f"cause: {HOSTILE}\n{HOSTILE}", f"first notice: {HOSTILE}")
