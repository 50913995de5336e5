"""What a log line came to, for people: a paragraph for each stage."""

from collections.abc import Iterator

import click

from socmon.cli import Options
from socmon.cli.line_forms import FACILITIES, SEVERITIES, priority, stated
from socmon.cli.line_trial import Trial
from socmon.cli.output import as_json, terminal_width, width_of, wrapped
from socmon.cli.shown import clock, span
from socmon.enrich import Inventory
from socmon.event import Alert, Event, LogSource
from socmon.i18n import Translator, mark
from socmon.sigma.explaining import Counted, Explanation, GroupVerdict, ItemVerdict, Obstacle, Verdict
from socmon.sigma.rule import CountOp
from socmon.text import printable

_VALUE_CHARS = 200  # of one value; the JSON form has all of it
_LINE_CHARS = 2000  # of the line itself
_VALUES = 6  # of a rule's list
_LEAST_ROOM = 20

_KNOWN = {
    "stated": mark("stated"),
    "year_inferred": mark("its year inferred"),
    "received": mark("none stated: that of receipt"),
    "future_replaced": mark("stated too far ahead: that of receipt"),
    "unknown": mark("unknown"),
}
_SIGNS: dict[CountOp, str] = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "eq": "=", "neq": "≠"}
_COUNTED = {
    "event_count": mark("events"),
    "value_count": mark("distinct values"),
    "temporal": mark("rules"),
    "temporal_ordered": mark("rules in order"),
    "value_sum": mark("as sum"),
    "value_avg": mark("on average"),
    "value_percentile": mark("as percentile"),
}
_LINKS = {"all": mark("all of these"), "any": mark("one of these"), "not": mark("not")}
_LABELS = (
    mark("frame"), mark("undecoded"), mark("event"), mark("fields"), mark("owner"), mark("matches"),
    mark("counts for"), mark("alert"), mark("just missed"), mark("rule"),
)  # fmt: skip


def write_trial(options: Options, trial: Trial, inventory: Inventory) -> None:
    """Write what the line came to, its number first, an empty line last."""
    page = _Page(options)
    text = trial.frame.data.decode("utf-8", "backslashreplace")
    page.say("#", f"{trial.n + 1}  {_shortened(text, _LINE_CHARS)}")
    page.say("frame", _frame(options.tr, trial))
    if trial.event is None:
        page.say("undecoded", trial.error, color="red")
    else:
        _write_event(page, options, trial.event, inventory)
        _write_rules(page, options, trial)
    click.echo()


class _Page:
    """Lines behind a column of labels; on a terminal broken to its width."""

    def __init__(self, options: Options) -> None:
        self._tr = options.tr
        self._label = max(width_of(self._tr(label)) for label in _LABELS) + 2
        width = terminal_width()
        self._room = None if width is None else max(_LEAST_ROOM, width - self._label)

    def say(self, label: str, text: str, *, color: str | None = None, mark_: str = "", indent: int = 0) -> None:
        """One paragraph; `mark_`, coloured, stands before the text, and further lines begin below the text."""
        told = printable(self._tr(label) if label else "")
        head = told + " " * (self._label - width_of(told)) + " " * indent
        hang = indent + (width_of(mark_) + 1 if mark_ else 0)
        shown = printable(text)
        lines = [shown] if self._room is None else wrapped(shown, max(_LEAST_ROOM, self._room - hang))
        for number, line in enumerate(lines):
            lead = head if number == 0 else " " * (self._label + hang)
            sign = f"{click.style(mark_, fg=color, bold=True)} " if mark_ and number == 0 else ""
            body = line if mark_ or not color else click.style(line, fg=color)
            click.echo(f"{click.style(lead, bold=True) if number == 0 else lead}{sign}{body}".rstrip())

    def judge(self, label: str, text: str, *, matched: bool, indent: int = 0) -> None:
        """One paragraph behind yes or no."""
        word, color = (mark("yes"), "green") if matched else (mark("no"), "red")
        self.say(label, text, color=color, mark_=self._tr(word), indent=indent)


def _frame(tr: Translator, trial: Trial) -> str:
    frame = trial.frame
    parts = [tr.many("{count} byte", "{count} bytes", len(frame.data))]
    if frame.octets is not None:
        fits = frame.octets == len(frame.data)
        text = (
            mark("behind an octet count") if fits else mark("behind an octet count of {count}, which is not its length")
        )
        parts.append(tr(text, count=frame.octets))
    if frame.format:
        how = tr("detected") if frame.is_detected else tr("as set")
        parts.append(f"{frame.format} ({how})")
    if trial.event is not None and (found := priority(trial.event)):
        facility, severity = found
        named = f"{FACILITIES[facility]}.{SEVERITIES[severity]}"
        parts.append(tr("priority {number} = {named}", number=facility * 8 + severity, named=named))
    return ", ".join(parts)


def _write_event(page: _Page, options: Options, event: Event, inventory: Inventory) -> None:
    tr = options.tr
    when = "-" if event.time_us is None else clock(event.time_us, options.zone, fine=True)
    parts = [f"{when} ({tr(_KNOWN[event.time_known])})", tr("host {name}", name=event.host or "-")]
    parts.append(tr("log source {parts}", parts=_source(event.logsource)))
    if event.repeat > 1:
        parts.append(tr("stands for {count} events", count=event.repeat))
    page.say("event", ", ".join(parts))
    for number, (name, value) in enumerate(event.fields.items()):
        page.say("" if number else "fields", f"{name} = {_shown(value)}")
    page.say("owner", _owner(options, event, inventory))


def _owner(options: Options, event: Event, inventory: Inventory) -> str:
    tr, owner = options.tr, event.owner
    if not inventory.agencies:
        return tr("no inventory of assets")
    agency = inventory.agencies.get(owner.agency)
    if agency is None:
        return tr("nobody's, as the inventory says")
    text = f"{_name(tr, agency.name, agency.name_en)} ({agency.id})"
    system = next((each for each in agency.systems if each.id == owner.system), None)
    if system is not None:
        text += f", {_name(tr, system.name, system.name_en)} ({system.id})"
    return text if owner.system_level is None else text + ", " + tr("level {level}", level=owner.system_level)


def _name(tr: Translator, name: str, name_en: str) -> str:
    return (name or name_en) if tr.lang == "vi" else (name_en or name)


def _write_rules(page: _Page, options: Options, trial: Trial) -> None:
    tr = options.tr
    if not trial.matches:
        page.say("matches", tr("no rule"))
    for number, rule in enumerate(trial.matches):
        feeds = "" if rule.alerts else " (" + tr("only feeds correlations") + ")"
        page.say("" if number else "matches", f"{tr(rule.title)}{feeds}", color="green", mark_="+")
    if trial.late:
        page.say("counts for", tr("nothing: it is too far behind the lines before it"), color="yellow")
    for number, each in enumerate(() if trial.late else trial.counts):
        page.say("" if number else "counts for", _counted(tr, each))
    for number, alert in enumerate(trial.alerts):
        page.say("" if number else "alert", _alert(tr, alert), color="red", mark_="!")
    for explanation in trial.asked:
        _write_explanation(page, tr, explanation)
    for number, miss in enumerate(trial.near):
        page.say("" if number else "just missed", tr(miss.rule.title), color="yellow", mark_="~")
        for obstacle in miss.obstacles:
            page.say("", _obstacle(tr, obstacle), indent=2)


def _counted(tr: Translator, each: Counted) -> str:
    title = tr(each.rule.title)
    correlation = each.rule.correlation
    if each.not_numeric:
        return tr("{title}: not, {names} is no number", title=title, names=", ".join(each.not_numeric))
    if correlation is None or each.group is None:
        return tr("{title}: not, the event lacks {names}", title=title, names=", ".join(each.lacking) or "-")
    conditions = ((correlation.op, correlation.value), *correlation.also)
    wanted = ", ".join(f"{_SIGNS[op]} {value}" for op, value in conditions)
    counted = tr("{number} of {wanted} {what}", number=each.number, wanted=wanted, what=tr(_COUNTED[correlation.type]))
    within = tr("in {span}", span=span(correlation.timespan_us, tr))
    group = " ".join(f"{name}={value}" for name, value in each.group.items())
    return f"{title}: {counted} {within}" + (f" ({group})" if group else "")


def _alert(tr: Translator, alert: Alert) -> str:
    group = " ".join(f"{name}={value}" for name, value in alert.group.items())
    grew = tr("grows") if alert.revision > 1 else tr("opens")
    return f"{tr(alert.title)}, {tr(alert.level)}, {grew}: {alert.count}×  {group}"


def _write_explanation(page: _Page, tr: Translator, told: Explanation) -> None:
    page.judge("rule", f"{tr(told.rule.title)}  {told.rule.path}:{told.rule.line}", matched=told.matched)
    if told.differing:
        values = {"wanted": _source(told.wanted), "stated": _source(told.stated), "parts": ", ".join(told.differing)}
        text = mark("it looks at log source {wanted}; this is {stated}, another {parts}")
        page.judge("", tr(text, **values), matched=False, indent=2)
    for depth, verdict in _walked(told.condition):
        page.judge("", _piece(tr, verdict), indent=2 + 2 * depth, matched=verdict.matched)
    if told.obstacles:
        page.say("", tr("in the way:"), indent=2)
        for obstacle in told.obstacles:
            page.say("", _obstacle(tr, obstacle), indent=4)


def _walked(verdict: Verdict, depth: int = 0) -> Iterator[tuple[int, Verdict]]:
    """Each piece with how deep it stands; a group of one piece without a name of its own says nothing."""
    if isinstance(verdict, GroupVerdict) and len(verdict.parts) == 1 and not _says_something(verdict):
        yield from _walked(verdict.parts[0], depth)
        return
    yield depth, verdict
    for part in verdict.parts if isinstance(verdict, GroupVerdict) else ():
        yield from _walked(part, depth + 1)


def _says_something(group: GroupVerdict) -> bool:
    return bool(group.name or group.filter) or group.link == "not"


def _piece(tr: Translator, verdict: Verdict) -> str:
    if isinstance(verdict, ItemVerdict):
        return f"{_item(tr, verdict)}  {_found(tr, verdict)}"
    if verdict.filter:
        return tr("filter {title}", title=verdict.filter)
    link = "" if len(verdict.parts) == 1 and verdict.link != "not" else tr(_LINKS[verdict.link])
    return f"{verdict.name}: {link}" if verdict.name and link else verdict.name or link


def _obstacle(tr: Translator, obstacle: Obstacle) -> str:
    text = mark("it wants {item}") if obstacle.should else mark("it must not have {item}")
    says = tr("filter {title}", title=obstacle.filter) + ": " if obstacle.filter else ""
    return f"{says}{tr(text, item=_item(tr, obstacle.item))}; {_found(tr, obstacle.item)}"


def _item(tr: Translator, item: ItemVerdict) -> str:
    values = " | ".join(map(_shown, item.values[:_VALUES]))
    if len(item.values) > _VALUES:
        values += " | " + tr("{count} more", count=len(item.values) - _VALUES)
    return f"{item.key}: {values}" if item.key else tr("a word: {values}", values=values)


def _found(tr: Translator, item: ItemVerdict) -> str:
    if not item.key:
        return tr("the event has it in some field") if item.matched else tr("the event has it in no field")
    if item.field is None:
        return tr("the event has no such field")
    name = "" if item.field == item.key.partition("|")[0] else f"{item.field} = "
    return tr("the event has {value}", value=name + _shown(item.found))


def _shown(value: object) -> str:
    """A value on one line, cut, in quotes where its ends would not be seen."""
    text = value if isinstance(value, str) else as_json(value)
    text = _shortened(text, _VALUE_CHARS)
    return text if text and text == text.strip() else f"'{text}'"


def _shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[:chars] + "…"


def _source(logsource: LogSource) -> str:
    return " ".join(f"{name}={value}" for name, value in stated(logsource).items()) or "-"
