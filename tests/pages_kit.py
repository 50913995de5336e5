"""The pages of a daemon that runs, as a person or Prometheus sees them."""

import urllib.error
import urllib.request
from collections.abc import Mapping

from field import Field


def page(place: Field, path: str) -> tuple[int, str]:
    """Status and text."""
    (started,) = place.events("daemon.log", "started", place.log_start)
    try:
        with urllib.request.urlopen(started["http"] + path, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def metrics(place: Field) -> Mapping[str, float]:
    """Each sample, by its name with its labels."""
    lines = page(place, "/metrics")[1].splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
