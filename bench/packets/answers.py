"""Before anything is measured: our events name what tshark finds in the same packets."""

import json
from collections import Counter
from pathlib import Path

KINDS = ("DNS questions", "TLS server names", "HTTP requests")
Names = dict[str, Counter[str]]


def of_events(output: Path) -> Names:
    """From our lines."""
    found: Names = {kind: Counter() for kind in KINDS}
    fields = {"dns": ("query", KINDS[0]), "ssl": ("server_name", KINDS[1]), "http": ("host", KINDS[2])}
    for line in map(json.loads, output.read_bytes().splitlines()):
        field, kind = fields.get(line["_path"], ("", ""))
        if field and field in line:
            found[kind][line[field]] += 1
    return found


def of_tshark(output: Path) -> Names:
    """From the fields that tshark printed; of a request that holds a line for each, its questions only."""
    found: Names = {kind: Counter() for kind in KINDS}
    for line in output.read_text("utf-8").splitlines():
        _, _, _, _, udp_port, question, server_name, host = line.split("\t")
        if question and udp_port == "53":
            found[KINDS[0]][question] += 1
        if server_name:
            found[KINDS[1]][server_name] += 1
        if host:
            found[KINDS[2]][host] += 1
    return found


def differences(ours: Names, theirs: Names) -> dict[str, int]:
    """By kind, how many names only one of them has."""
    return {kind: ((ours[kind] - theirs[kind]) + (theirs[kind] - ours[kind])).total() for kind in KINDS}
