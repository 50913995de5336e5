"""Sigma: rules → what they match; matches → correlation. Pure, and usable without the daemon."""

from socmon.sigma.rule import Correlation, Rule, RuleError
from socmon.sigma.ruleset import RuleSet, load_rules

__all__ = ["Correlation", "Rule", "RuleError", "RuleSet", "load_rules"]
