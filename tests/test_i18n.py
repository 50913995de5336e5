"""Two languages: the catalogue is whole, compiled, and says nothing else than the English text."""

import io
import re
import string
import unicodedata
from pathlib import Path

import pytest
import yaml
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from socmon.cli.rule_text import split
from socmon.i18n import Message, language, translator
from socmon.resources import shipped

ROOT = Path(__file__).parents[1]
PO = ROOT / "socmon" / "locale" / "vi" / "LC_MESSAGES" / "socmon.po"
KEYWORDS = {"tr": None, "Message": None, "mark": None, "many": (1, 2), "_warned": (2,), "_many": (2, 3)}


def catalogue() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="vi")


def said_in_code() -> set[str]:
    kinds = [("**.py", "python"), ("**.html", "jinja2")]
    folders = [str(ROOT / name) for name in ("socmon", "forwarders")]
    found = [each for folder in folders for each in extract_from_dir(folder, kinds, keywords=KEYWORDS)]
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def shipped_rules() -> list[dict[str, object]]:
    files = [path for path in shipped("rules").rglob("*.yml") if not path.name.endswith(".test.yml")]
    documents = [each for path in files for each in yaml.safe_load_all(path.read_text("utf-8"))]
    return [each for each in documents if isinstance(each, dict) and "title" in each]


def keys() -> set[str]:
    return {message.id if isinstance(message.id, str) else message.id[0] for message in catalogue() if message.id}


def test_the_compiled_catalogue_is_the_one_that_is_written() -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue())

    assert PO.with_suffix(".mo").read_bytes() == compiled.getvalue(), "run make locale"


def test_all_that_is_said_in_code_is_translated() -> None:
    assert len(said_in_code()) > 60
    assert sorted(said_in_code() - keys()) == []


def test_the_catalogue_translates_nothing_that_nobody_says() -> None:
    assert sorted(keys() - said_in_code() - {str(rule["title"]) for rule in shipped_rules()}) == []


def test_no_text_hides_in_an_f_string_where_it_cannot_be_found() -> None:
    # The formatter leaves single quotes only where a text stands within another.
    hidden = [path.name for path in (ROOT / "socmon").rglob("*.py") if re.search(r"\btr\('", path.read_text("utf-8"))]

    assert hidden == []


@pytest.mark.parametrize("rule", shipped_rules(), ids=lambda rule: str(rule["title"]))
def test_each_shipped_rule_speaks_both_languages(rule: dict[str, object]) -> None:
    assert translator("vi")(str(rule["title"])) != rule["title"], "its title is missing in socmon.po"
    told = split(str(rule["description"]))
    assert told["en"] != told["vi"]
    assert told["en"].isascii() or "…" in told["en"]


@pytest.mark.parametrize("message", [each for each in catalogue() if each.id], ids=lambda each: str(each.id)[:40])
def test_a_translation_holds_the_same_values_and_composed_letters(message: object) -> None:
    ids = message.id if isinstance(message.id, tuple) else (message.id,)  # type: ignore[attr-defined]  # babel has no types
    told = message.string if isinstance(message.string, tuple) else (message.string,)  # type: ignore[attr-defined]

    for text in told:
        assert text
        assert unicodedata.is_normalized("NFC", text)
        assert _fields(text) == _fields(ids[-1])


def _fields(text: str) -> list[tuple[str, str | None]]:
    return sorted((name, kind) for _, name, _, kind in string.Formatter().parse(text) if name)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "vi"}, "vi"),
        ({"LANG": "vi-VN"}, "vi"),
        ({"LANG": "vie_VN"}, "en"),
        ({"LANG": "vi_VN.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "C", "LC_ALL": "", "LC_MESSAGES": "vi_VN"}, "vi"),
        ({"LC_ALL": "en_US.UTF-8", "LC_MESSAGES": "vi_VN", "LANG": "vi_VN"}, "en"),
    ],
)
def test_the_first_variable_that_is_set_chooses_the_language(environment: dict[str, str], expected: str) -> None:
    assert language(environment) == expected


def test_a_message_is_english_and_can_be_said_in_vietnamese() -> None:
    message = Message("cannot read {path}: {error}", path="/a{b}", error="ổ đĩa")

    assert str(message) == "cannot read /a{b}: ổ đĩa"
    assert translator("vi")(message) == "không đọc được /a{b}: ổ đĩa"
    assert translator("en")(message) == str(message)


def test_text_of_others_is_looked_up_and_never_formatted() -> None:
    assert translator("vi")("{0.__class__} {x}") == "{0.__class__} {x}"
    assert translator("vi")("") == ""


@pytest.mark.parametrize(
    ("text", "en", "vi"),
    [
        ("One. Two.\nMột câu. Hai câu.", "One. Two.", "Một câu. Hai câu."),
        ("Only English. Still.", "Only English. Still.", "Only English. Still."),
        ("Chỉ tiếng Việt.", "Chỉ tiếng Việt.", "Chỉ tiếng Việt."),
        ("", "", ""),
    ],
)
def test_a_description_is_parted_where_vietnamese_begins(text: str, en: str, vi: str) -> None:
    assert split(text) == {"en": en, "vi": vi}


def test_no_text_is_translated_twice() -> None:
    """Of two, the later would silently win everywhere."""
    texts = re.findall(r'^msgid ("(?:.+)"|""\n(?:".*"\n)+)', PO.read_text("utf-8"), re.MULTILINE)

    assert len(texts) > 100
    assert {text for text in texts if texts.count(text) > 1} == set()
