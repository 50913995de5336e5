"""What a hostile centre, curious readers and insiders do to the province: answers, privacy, the store."""

import asyncio
import math
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
from threat_switches import ALL_IS_PRINTABLE, ANY_SIGNATURE, NO_RECEIPT_CHECK, Changed, Instead, Line, context_with, to

from socmon.store.decisions import Verdict

_BATCH = "tests/feed/test_feed_batch.py"
_MESSAGE = "tests/feed/test_feed_message.py"
_PRIVACY = "tests/feed/test_privacy.py"
_DECISIONS = "tests/store/test_decisions.py"
_SHARING = "tests/feed/test_sharing.py"
_BEATS = "tests/ncsc/test_heartbeats.py"
_GAPS = "tests/ncsc/test_gaps_and_metrics.py"
_FORWARDER = "tests/forwarders/test_ncsc_forwarder.py"
_OUR_SIGNING = "tests/forwarders/test_ncsc_signing.py"
_HOSTILE = "tests/forwarders/test_ncsc_hostile_centre.py"
_CONTROL = "tests/control/test_control_server.py"
_RESUMING = "tests/store/test_resuming.py"
_TRIAGE = "tests/store/test_triage.py"


_EVERY_EPOCH = re.compile(".*")


def _follows(post: Any) -> Any:
    return lambda self, url, **named: post(self, url, **(named | {"allow_redirects": True}))


def _patient(found: Any) -> Any:
    """`asyncio` whose time-outs come after the test's patience."""

    @asynccontextmanager
    async def timeout(_delay_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(2):
                yield
        except TimeoutError:
            raise AssertionError("nobody has given up") from None

    return SimpleNamespace(**{**vars(found), "timeout": timeout})


async def _somebody(_self: Any, _writer: Any) -> Any:
    return SimpleNamespace(uid=4711, name="somebody")


CENTRE = (
    Line(
        "C1",
        [f"{_FORWARDER}::test_nothing_is_sent_to_a_server_of_another_name_or_authority"],
        [
            Changed(
                "forwarders._ncsc_settings:client_context",
                context_with(check_hostname=False, verify_mode=ssl.CERT_NONE),
            )
        ],
    ),
    Line(
        "C2",
        [f"{_BATCH}::test_a_reply_to_anything_else_is_not_trusted"],
        [Instead("socmon.feed.batch:read_reply", lambda body, _id, _sent: msgspec.json.decode(body, type=Reply))],  # type: ignore[name-defined]  # noqa: F821  of that module
        raised=["ValidationError"],
    ),
    Line(
        "C3",
        [f"{_OUR_SIGNING}::test_a_receipt_by_another_key_is_refused_and_the_batch_is_a_duplicate_later"],
        [NO_RECEIPT_CHECK],
    ),
    Line(
        "C4",
        [f"{_OUR_SIGNING}::test_what_it_signs_is_stored_and_what_it_keeps_is_the_receipt"],
        [Instead("socmon.feed.receipt:kept", lambda _reply, _digests: "")],
        raised=["JSONDecodeError"],
    ),
    Line(
        "C5",
        ["tests/test_delivering.py::test_a_refused_alert_is_kept_and_the_next_goes_on"],
        [Changed("socmon.store.outbox:_STATES", lambda found: {**found, "rejected": "acknowledged"})],
    ),
    Line(
        "C6",
        [f"{_FORWARDER}::test_an_endless_reply_is_cut_off"],
        [Changed("forwarders.ncsc:_MAX_REPLY_BYTES", to(1 << 40))],
    ),
    Line(
        "C7",
        [f"{_HOSTILE}::test_a_redirect_is_not_followed"],
        [Changed("aiohttp:ClientSession.post", _follows)],
    ),
    Line(
        "C8",
        [f"{_FORWARDER}::test_a_centre_that_never_answers_is_given_up_on"],
        [Changed("forwarders.ncsc:asyncio", _patient)],
    ),
    Line(
        "C9",
        [f"{_FORWARDER}::test_a_wait_that_is_asked_for_is_bounded"],
        [Changed("forwarders._http:_MAX_WAIT_S", to(math.inf))],
    ),
    Line(
        "C10",
        [f"{_HOSTILE}::test_words_of_the_centre_steer_nobody_who_reads_them"],
        [ALL_IS_PRINTABLE],
    ),
    Line(
        "C11",
        ["tests/forwarders/test_ncsc_answers.py::test_places_that_cannot_be_are_not_believed"],
        [Changed("socmon.feed.batch:_EPOCH", to(_EVERY_EPOCH)), Changed("socmon.feed.batch:_MAX_SEQ", to(math.inf))],
    ),
    Line(
        "C12",
        [f"{_RESUMING}::test_a_destination_that_is_ahead_makes_a_new_epoch_and_what_waited_goes_out_there"],
        [Instead("socmon.store.resuming:_begin_anew", lambda _db, _stream, _theirs, _now_us: None)],
    ),
    Line(
        "C13",
        [f"{_BATCH}::test_a_revision_that_leaves_none_to_go_on_from_is_not_believed"],
        [Changed("socmon.feed.batch:_MAX_REVISION", to(math.inf))],
    ),
)

PRIVACY = (
    Line(
        "P1",
        [f"{_PRIVACY}::test_a_masked_line_holds_no_secret_name_number_or_internal_address"],
        [
            Instead("socmon.feed.personal:without", lambda text: (text, [])),
            Changed("socmon.feed.privacy:_remembered", to(lambda text: (text, []))),
        ],
    ),
    Line(
        "P2",
        [f"{_PRIVACY}::test_by_default_and_with_a_key_names_are_pseudonyms_and_the_rest_is_left_out"],
        [Instead("socmon.feed.privacy:Account._treated", lambda _self, _word, _kind, _treatment, _same, name: name)],
    ),
    Line(
        "P3",
        [f"{_MESSAGE}::test_no_raw_line_user_host_or_internal_address_is_sent"],
        [Instead("socmon.feed.privacy:Account.address", lambda _self, text: ("ip", str(text)))],
    ),
    Line(
        "P4",
        [f"{_MESSAGE}::test_no_raw_line_user_host_or_internal_address_is_sent"],
        [Instead("socmon.feed.privacy:Account.raw", lambda _self, evidence, _alert: evidence.raw)],
    ),
    Line(
        "P5",
        [
            "tests/feed/test_masking.py::test_a_secret_is_masked_and_the_rest_stays",
            f"{_PRIVACY}::test_a_secret_in_a_name_that_is_kept_does_not_leave",
        ],
        [Instead("socmon.feed.masking:masked", lambda text: (text, 0))],
    ),
    Line(
        "P6",
        [f"{_SHARING}::test_what_is_red_or_unknown_has_no_message"],
        [Instead("socmon.feed.sharing:tlp_of", lambda _tags, default: default)],
    ),
    Line(
        "P7",
        [f"{_BATCH}::test_tlp_red_is_not_accepted"],
        [Instead("socmon.feed.checking:_first_error", lambda _schema, _event: "")],
    ),
    Line(
        "P8",
        [
            f"{_SHARING}::test_what_is_not_shared_has_no_message",
            "tests/forwarders/test_ncsc_detail.py::test_what_is_not_shared_has_no_message",
        ],
        [Instead("socmon.feed.sharing:must_be_shared", lambda _alert, _share: None)],
    ),
    Line(
        "P9",
        [f"{_PRIVACY}::test_no_two_provinces_kinds_or_keys_have_a_pseudonym_in_common"],
        [Instead("socmon.feed.privacy:PseudonymKey._letters", lambda _self, _kind, name, _size: name)],
    ),
    Line(
        "P10",
        [f"{_PRIVACY}::test_a_short_key_is_refused_and_no_key_is_shown"],
        [Changed("socmon.feed.privacy:LEAST_KEY_BYTES", to(0))],
    ),
    Line(
        "P11",
        [
            f"{_DECISIONS}::test_what_a_person_must_approve_is_held_and_counted_until_then",
            f"{_DECISIONS}::test_withdrawn_before_its_release_it_is_not_sent_and_shown_so",
        ],
        [Instead("socmon.store.decisions:verdict", lambda _db, routing, alert: Verdict("", routing.admit(alert)))],
    ),
)

PROVINCE = (
    Line(
        "I1",
        [f"{_OUR_SIGNING}::test_a_row_that_is_damaged_here_is_not_sent_and_holds_up_no_other"],
        [Instead("forwarders._ncsc_answers:is_damaged", lambda _item: False)],
    ),
    Line(
        "I2",
        [f"{_OUR_SIGNING}::test_a_signature_that_the_centre_finds_wrong_is_sent_once_more_and_then_a_dead_letter"],
        [ANY_SIGNATURE],
    ),
    Line(
        "I3",
        ["tests/store/test_verifying.py::test_what_rows_say_is_checked"],
        [Instead("socmon.store.verifying:_check_hashes", lambda _rows, _table, _what, _found: None)],
    ),
    Line(
        "I4",
        [f"{_GAPS}::test_sequences_that_are_missing_behind_the_cursor_are_shown_as_ranges"],
        [Instead("socmon.ncsc.reading:Reading.gaps", lambda _self: [])],
    ),
    Line(
        "I5",
        [f"{_CONTROL}::test_a_verb_is_done_for_whom_the_kernel_names"],
        [Changed("socmon.control.server:Control._actor", to(_somebody))],
    ),
    Line(
        "I6",
        [f"{_CONTROL}::test_each_change_is_logged_with_its_actor_and_a_look_is_not"],
        [Changed("socmon.control.server:_log", to(MagicMock()))],
    ),
    Line(
        "I7",
        [f"{_TRIAGE}::test_the_history_tells_who_did_what_when_and_why"],
        [Changed("socmon.store.triage:_WRITE_DOWN", lambda text: f"select {', '.join('?' * text.count('?'))}")],
    ),
    Line(
        "I8",
        [f"{_TRIAGE}::test_a_change_of_status_goes_up_at_once_and_a_comment_never"],
        [Changed("socmon.store.triage:queue", to(lambda *_: None))],
    ),
    Line(
        "I9",
        [f"{_CONTROL}::test_the_socket_is_for_user_and_group_and_goes_with_the_daemon"],
        [Changed("socmon.control.server:_MODE", to(0o666))],
    ),
    Line(
        "I10",
        [f"{_BEATS}::test_after_three_missed_heartbeats_an_organisation_is_silent_and_heard_again_it_is_not"],
        [Instead("socmon.ncsc.liveness:Liveness.silent", lambda _self, _org_id: False)],
    ),
    Line(
        "I11",
        [f"{_BEATS}::test_a_clock_that_is_off_is_flagged"],
        [Changed("socmon.ncsc.liveness:MAX_SKEW_S", to(math.inf))],
    ),
    Line(
        "I12",
        ["tests/test_heartbeats.py::test_the_version_is_that_of_the_rules_in_whatever_order"],
        [Instead("socmon.heartbeats:version", lambda _rules: "0" * 16)],
    ),
)

LINES = (*CENTRE, *PRIVACY, *PROVINCE)
