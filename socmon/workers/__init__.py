"""Matching in processes of its own (docs/adr/0072): raw frames out, matches back, in the order of the journal."""

from socmon.workers.asides import Asides
from socmon.workers.pool import Pool
from socmon.workers.recipe import Recipe

__all__ = ["Asides", "Pool", "Recipe"]
