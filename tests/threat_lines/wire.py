"""What strangers, thieves and other provinces do on the wire: spoofing, replay, downgrade, stolen keys."""

import ssl
from typing import Any

import msgspec
from threat_switches import (
    ANY_SIGNATURE,
    NO_RECEIPT_CHECK,
    Anyone,
    Changed,
    Everything,
    Instead,
    Line,
    context_with,
    fields,
    returning,
    to,
)

_SIGNATURES = "tests/feed/test_feed_signatures.py"
_SIGNING = "tests/feed/test_signing.py"
_SERVER = "tests/feed/test_feed_server.py"
_BATCH = "tests/feed/test_feed_batch.py"
_GATE = "tests/ncsc/test_gate.py"
_VOIDS = "tests/ncsc/test_inbox_voids.py"
_INBOX = "tests/ncsc/test_inbox.py"
_CENTRE = "tests/ncsc/test_centre.py"
_BEATS = "tests/ncsc/test_heartbeats.py"
_FORWARDER = "tests/forwarders/test_ncsc_forwarder.py"
_OUR_SIGNING = "tests/forwarders/test_ncsc_signing.py"
_HOSTILE = "tests/forwarders/test_ncsc_hostile_centre.py"
_KEYS = "tests/test_keys.py"

_NOBODY_IS_HELD = Instead("socmon.ncsc.inbox:Inbox._held", lambda _self, _organisation, _finding: None)


def _all_rings(of: Any) -> Any:
    """`Rings.of` that takes the keys of all organisations for those of each."""

    def everyone(self: Any, _org_id: str) -> Any:
        found: dict[str, Any] = {}
        for path in self._directory.glob("*.jwks"):
            found |= of(self, path.stem)
        return found

    return everyone


def _uncompromised(verify: Any) -> Any:
    """`_verify` that has forgotten which keys are marked."""

    def forgetful(protected: str, content: bytes, signature: str, keys: Any) -> Any:
        known = {kid: msgspec.structs.replace(key, compromised=False) for kid, key in keys.items()}
        return verify(protected, content, signature, known)

    return forgetful


def _unrevoked(roll: Any) -> Any:
    roll.revoked = frozenset()
    return roll


SPOOFING = (
    Line(
        "S1",
        [f"{_SERVER}::test_without_a_certificate_no_request_reaches_the_application"],
        [Changed("socmon.ncsc.keys:server_context", context_with(verify_mode=ssl.CERT_NONE))],
    ),
    Line(
        "S2",
        [
            f"{_SERVER}::test_a_source_of_another_organisation_is_forbidden",
            f"{_SERVER}::test_each_certificate_may_send_for_its_own_organisation_only",
        ],
        [Changed("socmon.feed.server:admitted", returning(Anyone))],
    ),
    Line(
        "S3",
        [
            f"{_SERVER}::test_an_organisation_that_is_not_enrolled_is_forbidden",
            f"{_BEATS}::test_who_is_not_enrolled_is_not_heard",
        ],
        [Instead("socmon.ncsc.gate:Gate.__contains__", lambda _self, _org_id: True)],
        raised=["KeyError"],
    ),
    Line(
        "S4",
        [f"{_SIGNATURES}::test_a_key_of_another_organisation_signs_nothing_for_us"],
        [Changed("socmon.feed.keyring:Rings.of", _all_rings)],
    ),
    Line(
        "S5",
        [f"{_CENTRE}::test_a_certificate_that_ends_during_its_connection_lets_nothing_more_in"],
        [Instead("socmon.feed.server:expired", lambda _connection, _now_s: False)],
        raised=["DecodeError", "KeyError"],
    ),
)

REPLAY = (
    Line(
        "R1",
        [f"{_SIGNATURES}::test_a_changed_message_is_quarantined", f"{_SIGNING}::test_every_changed_member_is_noticed"],
        [ANY_SIGNATURE],
    ),
    Line(
        "R2",
        [f"{_BATCH}::test_a_changed_body_does_not_fit_its_digest"],
        [Instead("socmon.feed.batch:check_digest", lambda _header, _content: None)],
    ),
    Line(
        "R3",
        [f"{_SIGNATURES}::test_a_captured_batch_that_is_replayed_has_no_effect"],
        [
            Instead(
                "socmon.ncsc.inbox:Inbox._take",
                lambda self, organisation, item: self._insert(organisation, item, item.finding),
            ),
            _NOBODY_IS_HELD,
        ],
    ),
    Line(
        "R4",
        [
            f"{_INBOX}::test_an_id_with_another_content_is_quarantined",
            f"{_INBOX}::test_a_sequence_with_another_event_is_quarantined",
        ],
        [
            Instead(
                "socmon.ncsc.inbox:Inbox._quarantine",
                lambda self, organisation, item, _code, _reason: self._insert(organisation, item, item.finding),
            )
        ],
        raised=["StoreError"],
    ),
    Line(
        "R5",
        [f"{_INBOX}::test_a_late_revision_is_stale_and_told_the_one_that_is_held"],
        [_NOBODY_IS_HELD],
    ),
    Line(
        "R6",
        [f"{_KEYS}::test_the_keys_fit_both_sides_of_tls"],
        [Changed("ssl:SSLContext.num_tickets", to(property(lambda _self: 2, lambda _self, _count: None)))],
    ),
    Line(
        "R7",
        [f"{_VOIDS}::test_a_void_without_a_good_signature_takes_nothing"],
        [ANY_SIGNATURE],
    ),
    Line(
        "R8",
        [f"{_VOIDS}::test_a_void_over_what_is_stored_or_quarantined_is_stale_and_stays_so"],
        [Instead("socmon.ncsc.taken:_holes", lambda _taken, wanted: iter((wanted,)))],
        raised=["StoreError"],
    ),
    Line(
        "R9",
        [f"{_VOIDS}::test_what_comes_later_for_a_void_sequence_is_quarantined"],
        [Instead("socmon.ncsc.taken:Taken.is_void", lambda _self, _item: False)],
    ),
)

DOWNGRADE = (
    Line(
        "D1",
        [f"{_SERVER}::test_tls_1_2_is_refused"],
        [Changed("socmon.ncsc.keys:server_context", context_with(minimum_version=ssl.TLSVersion.TLSv1_2))],
    ),
    Line(
        "D2",
        [f"{_HOSTILE}::test_a_server_that_speaks_an_old_tls_only_is_told_nothing"],
        [Changed("forwarders._ncsc_settings:client_context", context_with(minimum_version=ssl.TLSVersion.TLSv1_2))],
    ),
    Line(
        "D3",
        [f"{_FORWARDER}::test_only_an_https_address_is_a_url"],
        [Instead("forwarders._ncsc_settings:NcscSettings._https_without_path", lambda _cls, url: url)],
    ),
    Line(
        "D4",
        [f"{_SIGNATURES}::test_no_or_another_algorithm_is_rejected"],
        [
            Changed(
                "socmon.feed.signing:_NAMES",
                lambda names: dict.fromkeys(("none", "HS256", "RS256", *names), "Ed25519"),
            )
        ],
    ),
    Line(
        "D5",
        [f"{_SIGNING}::test_other_keys_are_refused"],
        [Instead("socmon.feed.signing:algorithm_of", lambda _jwk: "PS256")],
    ),
    Line(
        "D6",
        [f"{_SIGNATURES}::test_an_unsigned_message_is_quarantined_unless_a_lab_takes_it"],
        [Changed("socmon.ncsc.centre:CentreSettings.trust", returning(fields(demanded=False)))],
    ),
    Line(
        "D7",
        [f"{_OUR_SIGNING}::test_no_signing_key_is_a_problem"],
        [Instead("forwarders._ncsc_settings:NcscSettings._signing_problems", lambda _self: iter(()))],
        raised=["ValueError"],
    ),
    Line(
        "D8",
        [f"{_OUR_SIGNING}::test_a_centre_without_receipts_is_refused_where_they_are_wanted"],
        [NO_RECEIPT_CHECK],
    ),
    Line(
        "D9",
        [f"{_BATCH}::test_another_version_of_the_data_is_not_quarantined_but_refused"],
        [Changed("socmon.feed.checking:SUPPORTED", to(Everything()))],
    ),
)

KEYS = (
    Line(
        "K1",
        [f"{_KEYS}::test_private_keys_are_for_their_owner_only"],
        [Changed("socmon.feed.keys:_write", lambda found: lambda path, content, _mode: found(path, content, 0o644))],
    ),
    Line(
        "K2",
        ["tests/test_config.py::test_secret_in_plain_text_is_refused_without_repeating_it"],
        [Instead("socmon.secrets:SecretRef.parse", lambda cls, text: cls("file", text))],
    ),
    Line(
        "K3",
        [f"{_SIGNATURES}::test_the_key_of_a_certificate_signs_nothing"],
        [ANY_SIGNATURE],
    ),
    Line(
        "K4",
        [
            f"{_GATE}::test_a_revoked_organisation_is_refused_from_its_next_request_on_and_the_others_are_not",
            f"{_GATE}::test_a_restart_with_the_same_options_brings_no_revoked_one_back",
        ],
        [Instead("socmon.ncsc.roll:Roll.at", lambda self, org_id, _at_us: (self._periods.get(org_id) or [None])[-1])],
        raised=["KeyError"],
    ),
    Line(
        "K5",
        [f"{_GATE}::test_a_revoked_certificate_is_refused_and_another_of_its_organisation_is_not"],
        [Changed("socmon.ncsc.register:Register._read", returning(_unrevoked))],
        raised=["KeyError"],
    ),
    Line(
        "K6",
        [
            f"{_SIGNATURES}::test_what_an_old_key_signed_in_its_time_stays_good_after_a_rotation",
            f"{_SIGNING}::test_a_key_is_good_from_its_beginning_to_before_its_end",
        ],
        [Instead("socmon.feed.signing:Key.good_at", lambda _self, _time_s: True)],
    ),
    Line(
        "K7",
        [
            f"{_SIGNATURES}::test_nothing_of_a_compromised_key_is_stored_from_now_on",
            f"{_SIGNING}::test_no_signature_of_a_compromised_key_is_good",
        ],
        [Changed("socmon.feed.signing:_verify", _uncompromised)],
    ),
    Line(
        "K8",
        [f"{_SIGNATURES}::test_keys_that_are_taken_away_are_trusted_no_more"],
        [Changed("socmon.feed.keyring:stamp", to(lambda path: (1,) if path.suffix == ".jwks" else None))],
    ),
    Line(
        "K9",
        ["tests/forwarders/test_ncsc_advice.py::test_a_key_that_signs_and_shows_who_we_are_too_is_a_problem"],
        [Changed("forwarders._ncsc_settings:used_twice", to(lambda _cert, _keys: False))],
        raised=["ValueError"],
    ),
    Line(
        "K10",
        ["tests/forwarders/test_ncsc_advice.py::test_a_key_that_everybody_may_read_is_warned_of"],
        [Changed("forwarders._ncsc_settings:open_to_all", to(lambda _secrets: iter(())))],
    ),
)

LINES = (*SPOOFING, *REPLAY, *DOWNGRADE, *KEYS)
