"""Lines of real programs, written by us, are read as their authors meant them."""

import json
from pathlib import Path
from typing import Any

import pytest
from parsers.records import record

from socmon.event import rfc3339
from socmon.parsers import detect, parse

SAMPLES = [
    json.loads(line)
    for path in sorted(Path(__file__).parent.glob("samples/*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["line"][:90])
def test_sample_is_read_as_expected(sample: dict[str, Any]) -> None:
    found = parse(record(sample["line"], format_=sample.get("format", "rfc3164")))

    assert found.host == sample["host"]
    assert found.logsource.service == sample["service"]
    assert found.logsource.category == sample.get("category")
    assert {name: found.fields.get(name) for name in sample["fields"]} == sample["fields"]
    assert found.repeat == sample.get("repeat", 1)
    if "time" in sample:
        assert found.time_us is not None
        assert rfc3339(found.time_us) == sample["time"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["line"][:90])
def test_format_of_a_sample_is_detected(sample: dict[str, Any]) -> None:
    assert detect([sample["line"].encode()]) == sample.get("format", "rfc3164")
