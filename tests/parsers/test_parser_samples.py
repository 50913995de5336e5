"""Lines of real programs, written by us, are read as their authors meant them."""

import json
from pathlib import Path
from typing import Any

import pytest
from parsers.records import event

from socmon.event import rfc3339

SAMPLES = [
    json.loads(line)
    for path in sorted(Path(__file__).parent.glob("samples/*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["line"][:90])
def test_sample_is_read_as_expected(sample: dict[str, Any]) -> None:
    found = event(sample["line"])

    assert found.host == sample["host"]
    assert found.logsource.service == sample["service"]
    assert {name: found.fields.get(name) for name in sample["fields"]} == sample["fields"]
    assert found.repeat == sample.get("repeat", 1)
    if "time" in sample:
        assert found.time_us is not None
        assert rfc3339(found.time_us) == sample["time"]
