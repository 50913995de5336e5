"""Web logs that others have recorded, three of them scans, through the shipped rules: what alerts, and what not."""

import lzma
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from socmon.replaying import Replay
from socmon.sigma import RuleSet

FOLDER = Path("logs", "logs", "raw")
SCANS = ("apache_scan_acunetix", "apache_scan_netsparker", "apache_scan_w3af")
ORDINARY = ("apache_combined_elastic_examples", "nginxplus_json_elastic_examples")


class Told(Struct, frozen=True):
    """What the rules make of one log; `alerts` counts titles."""

    name: str
    lines: int
    unparsed: int
    matches: int
    alerts: dict[str, int]


def told(data: Path, rules: RuleSet) -> Iterator[Told]:
    """The logs below `data` that are there."""
    for name in (*SCANS, *ORDINARY):
        for file in sorted((data / FOLDER).glob(f"{name}.*.xz")):
            with tempfile.TemporaryDirectory() as folder:
                log = Path(folder, file.stem)
                log.write_bytes(lzma.decompress(file.read_bytes()))
                matching = sum(1 for _ in Replay([str(log)], rules).matches())
                replay = Replay([str(log)], rules)
                alerts = Counter(found.alert.title for found in replay.alerts())
                yield Told(name, replay.lines, replay.unparsed, matching, dict(sorted(alerts.items())))
