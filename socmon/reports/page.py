"""A report as one page of HTML that prints: everything in it, no script, nothing fetched, black on white."""

import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from socmon import __version__
from socmon.i18n import Translator
from socmon.reports import words
from socmon.text import printable

# What is read on paper; what the store holds beyond that, `--json` has.
MAX_TEXT_CHARS = 4_000
MAX_RAW_CHARS = 2_000
MAX_VALUES = 50
MAX_ENTRIES = 200

_FOLDER = Path(__file__).with_name("templates")


def render(
    report: Mapping[str, Any], digest: str, tr: Translator, zone: tzinfo | None, *, configured: bool = True
) -> str:
    """The page of a report of `socmon.report.incident/v1`, in the language of `tr`.

    All text in it is composed (NFC), so that it looks the same however it was typed, and cannot steer anything: what
    HTML would read is escaped, control and bidirectional characters stand as visible escapes (socmon.text).

    Args:
        digest: stands at the end, in 64 characters.
        zone: of the times; None is this machine's.
        configured: whether the settings are those of a configuration; if not, the page says so.
    """
    style = (_FOLDER / "incident.css").read_text("utf-8")
    return (
        _environment()
        .get_template("incident.html")
        .render(
            report=report,
            alert=report["alert"],
            duty=report["duty"],
            digest=digest,
            configured=configured,
            tr=tr,
            many=tr.many,
            lang=tr.lang,
            words=words,
            zone=zone,
            max_values=MAX_VALUES,
            max_entries=MAX_ENTRIES,
            max_raw=MAX_RAW_CHARS,
            version=__version__,
            # Written by us, and named by its digest in the page's policy, so that no other style is obeyed.
            style=Markup(style),  # noqa: S704  our own file
            style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["at"] = _at
    return environment


def _shown(value: object) -> object:
    """What becomes of every value before it is escaped: no template can forget it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = printable(unicodedata.normalize("NFC", value))
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]} …"


def _at(time: str, zone: tzinfo | None) -> str:
    """`2026-11-26 18:07:28 +07:00` of a time in RFC 3339."""
    text = datetime.fromisoformat(time).astimezone(zone).isoformat(" ", "seconds")
    return f"{text[:19]} {text[19:]}"
