"""Messages are OCSF 1.8 Detection Findings by a schema that is not ours, whatever leaves of detail."""

from functools import cache
from typing import Any

import msgspec
import pytest
from feed_kit import ORG, alert, evidence, release
from jsonschema_rs import Validator, validator_for
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from socmon.feed.closing import render_closing
from socmon.feed.message import Sender, render
from socmon.feed.privacy import Policy, PseudonymKey

KEY = PseudonymKey(b"k" * 16, ORG)
POLICIES = {
    "default": Policy(),
    "default with a key": Policy(key=KEY),
    "pseudonyms and lines": Policy(internal_ips="pseudonymise", raw="masked", key=KEY),
    "all kept": Policy("keep", "keep", "keep", "masked"),
    "all dropped": Policy("drop", "drop", "drop", "drop"),
}


@cache
def ocsf() -> Validator:
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    return validator_for(schemas.get_class_schema("detection_finding"))


def data_of(policy: Policy, **changes: Any) -> Any:
    held = [evidence(1), evidence(2, dst_ip="10.1.2.3", src_ip="fd00::7%eth0", user="an@x.vn")]
    odd = msgspec.structs.replace(evidence(3), host="máy chủ 1", fields={})
    made = alert(evidence=[*held, odd], **changes)
    return msgspec.json.decode(render(made, release(), Sender(ORG, system_level=4, privacy=policy)))["data"]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
@pytest.mark.parametrize("status", ["open", "acknowledged", "closed"])
def test_a_message_is_a_detection_finding_by_ocsfs_own_schema(policy: Policy, status: str) -> None:
    errors = ocsf().iter_errors(data_of(policy, status=status))

    assert [f"{error.instance_path}: {error.message}" for error in errors] == []


def test_a_closing_revision_is_one_too() -> None:
    closing = msgspec.json.decode(render_closing(alert(), release(), Sender(ORG)))

    errors = ocsf().iter_errors(closing["data"])

    assert [f"{error.instance_path}: {error.message}" for error in errors] == []


def test_the_schema_refuses_what_is_none() -> None:
    assert not ocsf().is_valid(data_of(Policy()) | {"severity_id": "high"})
    assert not ocsf().is_valid(data_of(Policy()) | {"evidences": [{"device": {"hostname": "a"}}]})
