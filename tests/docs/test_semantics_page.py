"""Whatever is cited stands in this tree: sections of the pages on semantics and rules, decisions, documents by name."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "docs/semantics.md": [
        "Durability order", "Journal batch", "Ledger", "Quotas", "Dating", "Agency and system", "Set aside",
        "Correlation", "Alert identity and joining", "Evidence",
        "Release and delivery", "Triage", "Disk full", "Exactness across runs", "Field names",
    ],
    "docs/rules.md": [
        "Detections", "Log sources", "Filters", "Placeholders", "Types of correlation", "Aliases", "Chains",
    ],
}  # fmt: skip
MAX_LINES = {"docs/semantics.md": 360, "docs/rules.md": 120}

_SECTION = re.compile(r'(docs/(?:semantics|rules)\.md), "([^"\n]+)"')
_DECISION = re.compile(r"\bdocs/adr/(\d{4})\b")
_DOCUMENT = re.compile(r"(?<![\w./-])[\w./-]*\w\.md\b")
_ADDRESS = re.compile(r"\b[a-z]+://\S+")


def tree() -> list[Path]:
    """The files that are, or would be, under version control."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout, so nothing says which files are ours")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    ).stdout.decode()  # fmt: skip
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def texts(files: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in files:
        data = path.read_bytes()
        if b"\0" not in data:
            yield path, data.decode("utf-8", "replace")


def documents(text: str) -> set[str]:
    """Names of documents in `text`; what an address of another place ends in is none."""
    return set(_DOCUMENT.findall(_ADDRESS.sub("", text)))


def is_here(name: str, citing: Path, files: list[Path]) -> bool:
    """Whether a document of this name stands beside `citing`, below the root, or, named alone, anywhere."""
    places = [citing.parent / name, ROOT / name]
    return any(place.exists() for place in places) or ("/" not in name and name in {path.name for path in files})


@pytest.mark.parametrize("page", SECTIONS)
def test_a_page_has_its_sections_and_stays_short(page: str) -> None:
    lines = (ROOT / page).read_text("utf-8").splitlines()

    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS[page]
    assert len(lines) <= MAX_LINES[page]
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


def test_every_section_that_is_cited_is_on_its_page() -> None:
    cited = {(path, page, name) for path, text in texts(tree()) for page, name in _SECTION.findall(text)}

    assert len(cited) > 10
    assert [one for one in sorted(cited) if one[2] not in SECTIONS[one[1]]] == []


def test_code_that_cites_a_page_names_a_section() -> None:
    sources = [path for path in tree() if path.suffix == ".py" and path != Path(__file__)]

    vague = [path for path, text in texts(sources) if sum(map(text.count, SECTIONS)) != len(_SECTION.findall(text))]

    assert vague == []


def test_every_decision_that_is_cited_was_made() -> None:
    made = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")}
    cited = {number for _, text in texts(tree()) for number in _DECISION.findall(text)}

    assert cited
    assert cited <= made


def test_no_file_cites_a_document_that_is_not_in_the_tree() -> None:
    files = tree()

    absent = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in texts(files)
        for name in sorted(documents(text))
        if not is_here(name, path, files)
    ]

    assert absent == []


def test_a_document_that_is_not_in_the_tree_would_be_noticed() -> None:
    absent = "NOWHERE" + ".md"  # in one piece, the test above would find it

    found = documents(f"see {absent}, README.md, docs/{absent} and https://example.org/{absent}")

    assert found == {absent, "README.md", f"docs/{absent}"}
    assert {name for name in found if is_here(name, ROOT / "Makefile", [ROOT / "README.md"])} == {"README.md"}
