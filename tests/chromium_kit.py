"""A real Chromium that prints a page as a person's would, and the paper that comes out of it (tests/needs)."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

import pytest

needs_chromium = pytest.mark.skipif(
    any(which(name) is None for name in ("chromium", "pdftotext", "pdfinfo", "pdftoppm")),
    reason="chromium or poppler-utils is not installed; see tests/needs",
)


def printed(page: Path) -> Path:
    """The PDF that Chromium makes of a page, as its print dialogue would; without margins and headers of its own."""
    paper = page.with_suffix(".pdf")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer")
    own = (f"--user-data-dir={page.parent / 'chromium'}", f"--print-to-pdf={paper}", page.absolute().as_uri())
    _run(("chromium", *flags, *own))
    return paper


def text_of(paper: Path) -> str:
    """What can be read on it, lines joined as they are wrapped."""
    return " ".join(_run(("pdftotext", "-raw", str(paper), "-")).decode().split())


def sheets(paper: Path) -> tuple[int, str]:
    """How many there are, and their size."""
    told = dict(line.split(":", 1) for line in _run(("pdfinfo", str(paper))).decode().splitlines() if ":" in line)
    return int(told["Pages"]), told["Page size"].strip()


def pixels(paper: Path) -> bytes:
    """Red, green and blue of each pixel of its first sheet, coarsely."""
    image = _run(("pdftoppm", "-r", "40", "-f", "1", "-l", "1", str(paper)))
    return image.split(b"\n", 3)[3]  # P6, width and height, greatest value


def _run(command: Sequence[str]) -> bytes:
    return subprocess.run(command, capture_output=True, timeout=90, check=True).stdout
