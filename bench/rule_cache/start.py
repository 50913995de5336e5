"""One start: imports, then rules until they can be asked; prints what each took, as JSON.

Arguments: the folder of rules, and that of the cache or `-`.
"""

import json
import sys
import time


def main() -> None:
    rule_folder, cache_folder = sys.argv[1:]
    begun = time.process_time()
    from socmon.sigma import RuleSet, load_rules  # noqa: PLC0415  measured
    from socmon.sigma.rule_cache import RuleCache  # noqa: PLC0415

    imported = time.process_time()
    import hashlib  # noqa: PLC0415  what is imported from here on is not the start's
    from pathlib import Path  # noqa: PLC0415

    spent: list[float] = []
    made = RuleSet.__init__

    def timed(*args: object, **named: object) -> None:
        before = time.process_time()
        made(*args, **named)  # type: ignore[arg-type]
        spent.append(time.process_time() - before)

    RuleSet.__init__ = timed  # type: ignore[method-assign]
    cache = None if cache_folder == "-" else RuleCache(Path(cache_folder))
    cpu_s, wall_s = time.process_time(), time.monotonic()
    rules = load_rules(sorted(Path(rule_folder).glob("rules*")), cache=cache)
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    single = [rule.id for rule in rules.rules if rule.correlation is None]
    whole = repr((rules.rules, rules.errors, rules.warnings, [(each, rules.condition(each).node) for each in single]))
    told = {
        "rules": len(rules.rules),
        "hash": hashlib.sha256(whole.encode()).hexdigest(),
        "imports_cpu_s": imported - begun,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "rule_set_cpu_s": spent[0],
        "pysigma": "sigma" in sys.modules,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
