"""What is done to the centre and to whoever reads: insiders, hostile text, floods, pages, backups."""

import os
from typing import Any

import msgspec
from threat_switches import ALL_IS_PRINTABLE, Changed, Instead, Line, returning, to

_SIGNATURES = "tests/feed/test_feed_signatures.py"
_SERVER = "tests/feed/test_feed_server.py"
_BATCH = "tests/feed/test_feed_batch.py"
_GATE = "tests/ncsc/test_gate.py"
_CENTRE = "tests/ncsc/test_centre.py"
_BEATS = "tests/ncsc/test_heartbeats.py"
_GAPS = "tests/ncsc/test_gaps_and_metrics.py"
_CONNECTIONS = "tests/feed/test_feed_connections.py"
_PAGE = "tests/ncsc/test_page.py"


_MUCH = 1 << 40


def _waits_for_ever(body_of: Any) -> Any:
    """`body_of` with more patience than any test has."""
    return lambda request, max_bytes, patience: body_of(
        request, max_bytes, msgspec.structs.replace(patience, grace_s=3600)
    )


async def _served(_settings: Any) -> None:
    """What the centre does here: nothing."""


def _unescaped(found: Any) -> Any:
    """`page._template` whose environment escapes nothing."""

    def template() -> Any:
        environment = found().environment
        text = (found.__wrapped__.__globals__["_TEMPLATES"] / "page.html").read_text("utf-8")
        return environment.overlay(autoescape=False).from_string(text)

    return template


NATIONAL = (
    Line(
        "N1",
        ["tests/ncsc/test_register_command.py::test_who_did_it_is_whom_the_kernel_knows_whatever_the_environment_says"],
        [Changed("socmon.cli.ncsc_register:_actor", to(lambda: os.environ["LOGNAME"]))],
    ),
    Line(
        "N2",
        [f"{_GATE}::test_a_revoked_organisation_is_refused_from_its_next_request_on_and_the_others_are_not"],
        [Instead("socmon.ncsc.register:Register._audit", lambda *_: None)],
    ),
    Line(
        "N3",
        [f"{_SIGNATURES}::test_what_is_stored_keeps_the_signature_that_vouches_for_it"],
        [Changed("socmon.feed.checking:_forms", returning(lambda texts: (texts[1], texts[1])))],
        raised=["SignatureError"],
    ),
)

WORDS = (
    Line(
        "L1",
        [
            "tests/parsers/test_printable.py::test_controls_become_visible_and_the_rest_stays",
            "tests/test_log.py::test_hostile_text_cannot_touch_the_terminal_or_forge_a_line",
            "tests/ncsc/test_register_command.py::test_a_hostile_name_steers_no_terminal",
        ],
        [ALL_IS_PRINTABLE],
    ),
    Line(
        "L2",
        [f"{_PAGE}::test_what_senders_wrote_is_neither_markup_nor_direction"],
        [Changed("socmon.ncsc.page:_template", _unescaped)],
    ),
    Line(
        "L3",
        [f"{_PAGE}::test_what_senders_wrote_is_neither_markup_nor_direction"],
        [ALL_IS_PRINTABLE],
    ),
    Line(
        "L4",
        ["tests/reports/test_page.py::test_markup_in_what_was_logged_is_text"],
        [Changed("socmon.reports.page:_environment", returning(lambda made: made.overlay(autoescape=False)))],
    ),
    Line(
        "L5",
        [f"{_PAGE}::test_the_style_is_the_one_that_the_policy_allows"],
        [Instead("socmon.ncsc.page:policy", lambda: "default-src *")],
    ),
)

FLOOD = (
    Line(
        "F1",
        [f"{_BATCH}::test_a_gzip_bomb_is_refused_without_being_inflated"],
        [Instead("socmon.feed.batch:unpack", lambda content, _encoding, _max: zlib.decompress(content, 31))],  # type: ignore[name-defined]  # noqa: F821  of that module
    ),
    Line(
        "F2",
        [f"{_BATCH}::test_a_bad_event_is_set_apart_and_its_neighbours_are_not"],
        [Instead("socmon.feed.checking:_deeper", lambda _value, _max_depth: False)],
    ),
    Line(
        "F3",
        [f"{_SERVER}::test_a_body_larger_than_the_limit_is_refused"],
        [
            Changed(
                "socmon.feed.server:body_of", lambda found: lambda request, _, patience: found(request, _MUCH, patience)
            ),
            Changed("socmon.feed.server:unpack", lambda found: lambda content, coded, _: found(content, coded, _MUCH)),
        ],
    ),
    Line(
        "F4",
        [f"{_GATE}::test_over_its_quota_a_sender_is_told_when_to_come_again_and_the_others_are_not_held_up"],
        [Instead("socmon.ncsc.gate:Quota.wait_s", lambda _self, _org_id: 0)],
        raised=["KeyError"],
    ),
    Line(
        "F5",
        [f"{_BEATS}::test_what_is_no_heartbeat_is_refused"],
        [Changed("socmon.ncsc.hearing:MAX_BYTES", to(1 << 40))],
    ),
    Line(
        "F6",
        [f"{_CONNECTIONS}::test_what_is_costly_is_bounded_in_all_however_it_is_written"],
        [Instead("socmon.feed.checking:bounded", lambda _events, _limits: None)],
    ),
    Line(
        "F7",
        [f"{_CONNECTIONS}::test_a_second_request_s_headers_must_come_too"],
        [Instead("socmon.feed.connections:_Connection._cut", lambda _self: None)],
        raised=["TimeoutError"],
    ),
    Line(
        "F8",
        [f"{_CONNECTIONS}::test_a_body_that_comes_too_slowly_is_refused_and_takes_no_place_of_others"],
        [Changed("socmon.feed.server:body_of", _waits_for_ever)],
        raised=["TimeoutError"],
    ),
)

PAGES = (
    Line(
        "A1",
        ["tests/ncsc/test_ncsc_command.py::test_an_impossible_option_is_a_usage_error"],
        [
            Changed("socmon.ncsc.centre:LOOPBACK", to("0.0.0.0")),
            Changed("socmon.cli.ncsc:_serve", to(_served)),
        ],
    ),
    Line(
        "A2",
        [f"{_CENTRE}::test_a_page_in_a_browser_cannot_ask_for_faults"],
        [Changed("aiohttp.web:Request.content_type", to(property(lambda _self: "application/json")))],
    ),
    Line(
        "A3",
        ["tests/console/test_console_server.py::test_every_answer_has_the_security_headers"],
        [Changed("socmon.console.server:_HEADERS", to({}))],
        raised=["KeyError"],
    ),
    Line(
        "A4",
        ["tests/test_metrics.py::test_values_beyond_the_limit_share_one_series"],
        [Instead("socmon.instruments:Kept.__getitem__", lambda self, value: self._metric.labels(value))],
    ),
    Line(
        "A5",
        [f"{_GAPS}::test_who_is_revoked_has_no_series_any_more"],
        [Instead("socmon.ncsc.metrics:_Snapshot.__init__", lambda self, standings: setattr(self, "_rows", standings))],
    ),
    Line(
        "A6",
        ["tests/store/test_copying.py::test_a_backup_holds_all_in_one_file_that_its_owner_alone_may_read"],
        [Changed("socmon.store.copying:sync", lambda found: lambda path: (path.chmod(0o755), found(path))[1])],
    ),
    Line(
        "A7",
        ["tests/store/test_restoring.py::test_after_a_restore_each_stream_opens_an_epoch_behind_all_that_were_used"],
        [Instead("socmon.store.outbox:open_epoch", lambda _db, _destination, _stream, **_: None)],
    ),
)

LINES = (*NATIONAL, *WORDS, *FLOOD, *PAGES)
