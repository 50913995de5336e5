"""The bytes of one rule file → what it states; the only way to pySigma, which a start from the cache does without."""

from collections.abc import Sequence
from functools import partial

from msgspec import structs
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from socmon.event import LogSource
from socmon.sigma.conditions import SECTION
from socmon.sigma.correlations import for_pysigma, kind_of
from socmon.sigma.detection import ConditionReader, refusal
from socmon.sigma.documents import Document, read_documents
from socmon.sigma.filter_documents import read_filter
from socmon.sigma.logsources import LogSources, log_source
from socmon.sigma.metadata import describe, misspelt, parse
from socmon.sigma.placeholders import Filler
from socmon.sigma.rule import RuleError
from socmon.sigma.stated import (
    Placeholders,
    Refused,
    RefusedError,
    Stated,
    StatedCorrelation,
    StatedFile,
    StatedRule,
    content_hash,
    content_text,
)


def read_file(path: str, content: bytes, sources: LogSources, placeholders: Placeholders) -> StatedFile:
    """What the bytes of a file state, all by themselves."""
    documents, errors = read_documents(path, content)
    if not documents and not errors:
        errors = [RuleError(path, 1, "holds no rule; remove it, or write one")]
    filler = Filler(placeholders)
    stated = tuple(_with_warnings(document, _read(document, sources, filler)) for document in documents)
    return StatedFile(stated, tuple(errors), tuple(sorted(map(str, filler.used))), tuple(filler.warnings))


def _with_warnings(document: Document, stated: Stated) -> Stated:
    warnings = tuple(document.error(text, key) for key, text in misspelt(document))
    return structs.replace(stated, warnings=warnings) if warnings else stated


def _read(document: Document, sources: LogSources, filler: Filler) -> Stated:
    try:
        read = _stated(document, sources, filler)
    except RefusedError as error:
        read = [error]
    if isinstance(read, Sequence):
        return Refused(document.origin(), tuple(document.error(str(error), *error.place) for error in read))
    return read


def _stated(document: Document, sources: LogSources, filler: Filler) -> Stated | list[RefusedError]:
    """What a document states, or all that is wrong with it.

    Raises:
        RefusedError: something in it is not supported, or cannot be meant.
    """
    if "action" in document.data:
        raise RefusedError("rule collections (action: …) are not supported yet", ("action",))
    if "filter" in document.data:
        return read_filter(filler.filled(document, "filter"), sources)
    if SECTION in document.data:
        if "detection" in document.data:
            raise RefusedError("a document has a detection or a correlation; make it two", (SECTION,))
        correlation = parse(document, for_pysigma(document.data), SigmaCorrelationRule)
        return correlation if isinstance(correlation, list) else _correlation(document, correlation)
    document = filler.filled(document, "detection")
    parsed = parse(document, document.data, SigmaRule)
    return parsed if isinstance(parsed, list) else _rule(document, parsed, sources)


def _rule(document: Document, parsed: SigmaRule, sources: LogSources) -> StatedRule:
    stated = parsed.logsource
    logsource = log_source(LogSource(stated.product, stated.category, stated.service))
    reader = ConditionReader(parsed.detection, document.data["detection"], partial(sources.names, logsource))
    try:
        condition = reader.read()
    except RecursionError as error:
        raise refusal(error, ("detection",)) from error
    rule = describe(document, parsed, logsource, content_hash(_content(document)))
    unused = (
        (name, f"the condition does not name the detection {name[:60]!r}, which so does nothing; add it, or remove it")
        for name in reader.unused()
    )
    warnings = tuple(document.error(text, "detection", name) for name, text in unused)
    return StatedRule(document.origin("id", "name"), rule, condition, warnings)


def _correlation(document: Document, parsed: SigmaCorrelationRule) -> StatedCorrelation:
    content = _content(document)
    return StatedCorrelation(
        document.origin("id", "name", "generate", SECTION),
        describe(document, parsed, LogSource(), content_hash(content)),
        content,
        kind_of(parsed.type.name),
        parsed.timespan.seconds,
        document.data[SECTION],
        document.data.get("generate"),
    )


def _content(document: Document) -> str:
    try:
        return content_text(document.data)
    except RecursionError as error:
        raise refusal(error, ()) from error
