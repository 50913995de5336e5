"""What people read, in English or Vietnamese: gettext catalogues below `socmon/locale`.

The English text is the key. JSON, CSV, names of fields and ids are never translated.
"""

import gettext
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

Lang = Literal["en", "vi"]
LANGS: tuple[Lang, ...] = get_args(Lang)

_FOLDER = Path(__file__).with_name("locale")


def mark(text: str) -> str:
    """`text` itself; marked for the catalogue where it is not said at once."""
    return text


class Message(str):
    """A text that knows how it was made, so that whoever shows it can say it in the reader's language.

    An error carries it as its argument: `raise StoreError(Message("cannot read {path}", path=path))`.
    """

    __slots__ = ("one", "template", "values")
    one: str  # what is said of one, where `template` is of several and `values` have a `count`; or ""
    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, **values: Any) -> Self:
        """The English text; `values` are put into the braces of `template`; messages among them are said too."""
        made = super().__new__(cls, template.format(**values))
        made.one, made.template, made.values = "", template, values
        return made


class Translator:
    """Says texts in one language; one that the catalogue lacks stays as it is."""

    def __init__(self, lang: Lang, catalogue: gettext.NullTranslations) -> None:
        self.lang = lang
        self._catalogue = catalogue

    @property
    def catalogue(self) -> Mapping[str, str]:
        """Translations by their English texts; none for English itself, and none of those that count something."""
        texts: Mapping[Any, str] = getattr(self._catalogue, "_catalog", {})
        return {key: told for key, told in texts.items() if isinstance(key, str)}

    def __call__(self, text: str, **values: Any) -> str:
        """The text in the language, `values` put into its braces afterwards; no braces are looked at without any."""
        if isinstance(text, Message):
            values = {name: self._said(value) for name, value in text.values.items()}
            return self.many(text.one, text.template, **values) if text.one else self(text.template, **values)
        told = self._catalogue.gettext(text) if text else ""
        return told.format(**values) if values else told

    def _said(self, value: Any) -> Any:
        return self(value) if isinstance(value, Message) else value

    def many(self, one: str, several: str, count: int, **values: Any) -> str:
        """As many as there are: `count` is put into the braces too."""
        return self._catalogue.ngettext(one, several, count).format(count=count, **values)


def language(environment: Mapping[str, str]) -> Lang:
    """The language that LC_ALL, LC_MESSAGES or LANG ask for, the first that is set; English where it is no other."""
    asked = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return "vi" if asked.replace("-", "_").split(".")[0].split("_")[0].lower() == "vi" else "en"


@cache
def translator(lang: Lang) -> Translator:
    """The Translator of a language; read once a process."""
    if lang == "en":
        return Translator(lang, gettext.NullTranslations())
    return Translator(lang, gettext.translation("socmon", _FOLDER, [lang]))


def sources(part: str) -> tuple[str, ...]:
    """English texts of which any translation contains `part`, in upper or lower case."""
    wanted = part.casefold()
    catalogues = (translator(lang).catalogue for lang in LANGS)
    return tuple({key: None for texts in catalogues for key, told in texts.items() if wanted in told.casefold()})
