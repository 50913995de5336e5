"""What of an alert's detail leaves, by each setting; and that the message says truly what was done."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from feed_kit import ORG, OTHER, alert, evidence, release
from hypothesis import given
from hypothesis import strategies as st

from socmon.feed.checking import validator
from socmon.feed.message import Sender, render
from socmon.feed.privacy import Policy, PseudonymKey
from socmon.resources import shipped

KEY = PseudonymKey(b"k" * 32, ORG)
INSIDE = "10.1.2.3"
RAW = (
    "Failed password for bảo from 10.1.2.3 port 22: mysql -u bảo -pS3cret on web-01, mail an@tinh.gov.vn,"
    " số 0912345678, addr fd00::7, proxy 203.0.113.9, b%E1%BA%A3o"
)


def detailed(**changes: Any) -> Any:
    one = msgspec.structs.replace(evidence(user="bảo", dst_ip=INSIDE), raw=RAW)
    entities = {"host": ["web-01"], "ip": ["203.0.113.77", INSIDE], "user": ["bảo"]}
    return alert(**({"evidence": [one], "entities": entities} | changes))


def sent(policy: Policy, made: Any = None) -> tuple[dict[str, Any], str]:
    """The data of a message, which is valid, and its text."""
    body = render(made or detailed(), release(), Sender(ORG, privacy=policy))
    event = msgspec.json.decode(body)
    assert validator("finding.v1").is_valid(event)
    return event["data"], body.decode()


def pii(data: dict[str, Any]) -> dict[str, Any]:
    block: dict[str, Any] = data["unmapped"]["vn_soc"]["pii"]
    return block


def test_by_default_and_with_a_key_names_are_pseudonyms_and_the_rest_is_left_out() -> None:
    data, body = sent(Policy(key=KEY))

    assert not [word for word in ("bảo", "web-01", INSIDE, "fd00", "password for", "S3cret") if word in body]
    assert pii(data) == {
        "policy": "p2",
        "removed": ["internal_ip", "raw_data"],
        "pseudonymised": ["device.hostname", "user.name"],
        "internal_ip": "dropped",
        "key": KEY.id,
    }
    (one,) = data["evidences"]
    assert one["user"]["name"] == KEY.pseudonym("u", "bảo")
    assert one["device"] == {"type_id": 0, "hostname": KEY.pseudonym("h", "web-01")}
    assert [(each["type_id"], each["value"]) for each in data["observables"]] == [
        (2, "203.0.113.77"),
        (4, KEY.pseudonym("u", "bảo")),
        (1, KEY.pseudonym("h", "web-01")),
    ]


def test_without_a_key_what_is_to_be_pseudonymised_is_left_out_and_the_message_says_so() -> None:
    data, body = sent(Policy(internal_ips="pseudonymise"))

    assert not [word for word in ("bảo", "web-01", INSIDE) if word in body]
    assert pii(data)["removed"] == ["device.hostname", "internal_ip", "raw_data", "user.name"]
    assert pii(data)["pseudonymised"] == []
    assert pii(data)["internal_ip"] == "dropped"


def test_an_internal_address_as_a_pseudonym_is_no_address() -> None:
    data, body = sent(Policy(internal_ips="pseudonymise", key=KEY))

    assert INSIDE not in body
    assert data["evidences"][0]["dst_endpoint"] == {"uid": KEY.pseudonym("i", INSIDE)}
    assert (48, KEY.pseudonym("i", INSIDE)) in [(each["type_id"], each["value"]) for each in data["observables"]]
    assert pii(data)["internal_ip"] == "pseudonymised"


def test_what_is_to_be_kept_is_kept_and_the_message_says_so() -> None:
    data, body = sent(Policy(internal_ips="keep", users="keep", hosts="keep"))

    assert all(word in body for word in ("bảo", "web-01", INSIDE))
    assert pii(data)["kept"] == ["device.hostname", "internal_ip", "user.name"]
    assert pii(data)["removed"] == ["raw_data"]


@pytest.mark.parametrize("policy", [Policy(raw="masked"), Policy(raw="masked", key=KEY)], ids=["no key", "key"])
def test_a_masked_line_holds_no_secret_name_number_or_internal_address(policy: Policy) -> None:
    data, body = sent(policy)

    words = ("bảo", "b%E1%BA%A3o", "web-01", INSIDE, "fd00::7", "S3cret", "tinh.gov.vn", "0912345678")
    assert [word for word in words if word in body] == []
    line = data["evidences"][0]["data"]["raw"]
    assert line.startswith("Failed password for ")
    assert "proxy 203.0.113.9" in line
    assert {"email", "phone", "secret"} <= {*pii(data)["removed"]}
    assert pii(data)["kept"] == ["raw_data"]


@pytest.mark.parametrize("written", ["CORP\\thuha", "CORP\\\\thuha", "corp\\\\\\\\THUHA"])
def test_a_user_of_a_domain_does_not_leave_however_often_its_backslash_is_doubled(written: str) -> None:
    line = evidence(user="CORP\\thuha")
    line = msgspec.structs.replace(line, raw=f'{{"User":"{written}"}}')

    body = sent(Policy(raw="masked"), detailed(evidence=[line], entities={"user": ["CORP\\thuha"]}))[1]

    assert "thuha" not in body.lower()


def test_the_end_of_a_line_that_was_cut_does_not_leave() -> None:
    cut = msgspec.structs.replace(evidence(), raw="x" * 1000 + " thẻ 4111 1111 1111 11", cut=True)

    assert "4111" not in sent(Policy(raw="masked"), detailed(evidence=[cut]))[1]


@pytest.mark.parametrize("kept", ["an@tinh.gov.vn", "0912345678", "001099012345", "4111111111111111"])
def test_a_name_that_is_a_number_or_address_of_a_person_does_not_leave_even_where_names_are_kept(kept: str) -> None:
    made = detailed(entities={"user": [kept], "host": [kept]}, host=kept, title=f"Login of {kept}")

    _, body = sent(Policy(users="keep", hosts="keep"), made)

    assert kept not in body


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=30))
def test_one_person_is_one_pseudonym_however_the_name_is_written(name: str) -> None:
    forms = {name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name), f" {name} "}
    if name.strip() and name.upper().casefold() == name.casefold():
        forms.add(name.upper())
    shown = {
        each["value"]
        for form in forms
        for each in sent(Policy(key=KEY), detailed(entities={"user": [form]}, evidence=[], host=""))[0].get(
            "observables", []
        )
    }

    assert len(shown) == (1 if name.strip() else 0)


def test_no_two_provinces_kinds_or_keys_have_a_pseudonym_in_common() -> None:
    keys = [KEY, PseudonymKey(b"k" * 32, OTHER), PseudonymKey(b"l" * 32, ORG)]
    shown = {key.pseudonym(kind, "bao") for key in keys for kind in "uhi"}

    assert len(shown) == 9
    assert len({key.id for key in keys}) == 3


def test_a_short_key_is_refused_and_no_key_is_shown() -> None:
    with pytest.raises(ValueError, match="only 3 bytes; write at least 16 random bytes") as refused:
        PseudonymKey(b"abc\n", ORG)

    assert "abc" not in str(refused.value)
    assert repr(PseudonymKey(b"0123456789abcdef", ORG)) == f"PseudonymKey({PseudonymKey(b'0123456789abcdef', ORG).id})"


def test_ids_of_ours_stay_though_they_look_like_a_number_of_a_person() -> None:
    made = detailed(id="7d3a0f52-0000-5000-8000-001099012345", rule_id="001099012345")

    data, _ = sent(Policy(), made)

    assert data["finding_info"]["uid"] == made.id
    assert data["finding_info"]["analytic"]["uid"] == "sigma:001099012345"


def test_the_titles_of_rules_leave_as_they_are() -> None:
    titles = [document["title"] for path in shipped("rules").rglob("*.yml") for document in documents(path)]
    spoken = ["Net User Account Creation", "Mysql client with -p option", "Password: guessed", "echo root | sudo"]

    assert len(titles) > 70
    for title in [*titles, *spoken]:
        assert sent(Policy(), detailed(title=title))[0]["finding_info"]["title"] == title


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from (each for each in yaml.safe_load_all(path.read_text("utf-8")) if each and "title" in each)


def test_a_secret_in_a_name_that_is_kept_does_not_leave() -> None:
    made = detailed(entities={"user": ["--password=S3cret+hunter2"]}, evidence=[], host="")

    data, body = sent(Policy(users="keep"), made)

    assert "S3cret" not in body
    assert pii(data)["removed"] == ["secret"]
