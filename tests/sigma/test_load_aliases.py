"""Loading field aliases of correlations: what is kept, and what is refused with its line."""

import pytest
from sigma_kit import HEAD, loaded, refused, rule_text

ONE_ID, TWO_ID = (f"{n}1111111-1111-4111-8111-11111111111a" for n in (1, 2))


def single(name: str, rule_id: str) -> str:
    head = HEAD.replace("title: A rule", f"title: {name}\nname: {name}")
    return rule_text(
        f"sel: {{F: {name}}}\ncondition: sel", head.replace("5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11", rule_id)
    )


def over(name: str, rules: str, aliases: str, more: str = "group-by: [ip]") -> str:
    return (
        f"title: {name}\nname: {name}\ncorrelation:\n  type: event_count\n  rules: {rules}\n  {more}\n"
        f"  timespan: 5m\n  condition: {{gte: 2}}\n  aliases:{aliases}\n"
    )


RULES = [single("one", ONE_ID), single("two", TWO_ID)]


def together(*documents: str) -> str:
    return "---\n".join(documents)


def test_an_alias_names_rules_by_name_or_id_and_may_leave_some_out() -> None:
    aliases = f"\n    ip: {{one: src, {ONE_ID.upper()}: src}}\n    who:\n      {TWO_ID}: user"
    rules = loaded(together(*RULES, over("top", "[one, two]", aliases, "group-by: [ip, who, host]")))

    top = rules.rules[2].correlation
    assert top is not None
    assert top.group_by == ("ip", "who", "host")
    assert top.called(ONE_ID, top.group_by) == ("src", "who", "host")
    assert top.called(TWO_ID, top.group_by) == ("ip", "user", "host")


def test_fields_of_a_correlation_are_those_that_its_aliases_stand_for() -> None:
    text = over("top", "[one, two]", "\n    ip: {one: src, two: dst}").replace("event_count", "value_count")
    rules = loaded(together(*RULES, text.replace("{gte: 2}", "{gte: 2, field: port}")))

    assert rules.fields_of(rules.rules[2].id) == ("F", "src", "dst", "port")


def test_an_alias_may_name_a_group_field_of_a_correlation_below_even_one_that_is_an_alias_there() -> None:
    base = over("base", "[one]", "\n    ip: {one: src}")
    rules = loaded(
        together(*RULES, base, over("top", "[base, two]", "\n    addr: {base: ip, two: dst}", "group-by: addr"))
    )

    assert rules.fields_of(rules.rules[3].id) == ("F", "src", "dst")


def test_an_empty_list_of_aliases_is_none() -> None:
    assert loaded(together(*RULES, over("top", "[one]", ""))).rules[2].correlation is not None
    assert loaded(together(*RULES, over("top", "[one]", " {}"))).rules[2].correlation is not None


@pytest.mark.parametrize(
    ("aliases", "at", "reason"),
    [
        (
            " [ip]",
            9,
            "aliases are names with the field of each rule, as in `ip: {rule_a: src_ip, rule_b: dst_ip}`, not",
        ),
        (
            "\n    ip: src",
            10,
            "alias 'ip' maps rules to fields, as in `ip: {rule_a: src_ip, rule_b: dst_ip}`, not 'src'",
        ),
        ("\n    ip: {}", 10, "alias 'ip' maps rules to fields"),
        ("\n    ip: [one]", 10, "alias 'ip' maps rules to fields"),
        (
            "\n    ip:\n      one: src\n      nobody: dst",
            12,
            "'nobody', which is not among the rules of this correlation",
        ),
        ("\n    ip:\n      one: src\n      two: dst", 12, "'two', which is not among the rules"),
        ("\n    ip:\n      one: 5", 11, "alias 'ip' takes the name of a field, not 5"),
        ("\n    ip:\n      one: ' '", 11, "alias 'ip' takes the name of a field, not ' '"),
        ("\n    ip:\n      one: [src, dst]", 11, "takes the name of a field, not ['src', 'dst']"),
        (
            f"\n    ip:\n      one: src\n      {ONE_ID}: dst",
            12,
            "alias 'ip' has two fields for one rule, 'src' and 'dst'",
        ),
        ("\n    ip: {one: src}\n    pi: {one: dst}", 11, "alias 'pi' is used nowhere; name it in group-by or"),
        ("\n    ' ': {one: src}", 10, "an alias has no name"),
    ],
)
def test_an_alias_that_cannot_be_meant_is_refused_at_its_line(aliases: str, at: int, reason: str) -> None:
    (error,) = refused(together(over("top", "[one]", aliases), *RULES))

    assert reason in error
    assert error.partition(":")[0] == str(at)


def test_a_field_that_results_lack_is_refused_by_the_name_that_the_alias_gives_it() -> None:
    base = over("base", "[one]", "")

    (error,) = refused(together(over("top", "[base]", "\n    ip: {base: src}"), base, *RULES))

    assert error.startswith(
        "6: results of the correlation 'base' have no field 'src'; add it to its group-by, or map an"
    )
