"""What strikes when, of a seed alone: the same seed gives the same faults in the same order, with the same figures."""

from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "sender killed",
    "receiver killed",
    "cut in a request",
    "cut in a reply",
    "receiver refuses (503)",
    "sender's clock steps",
    "receiver's clock steps",
    "sender's disk full",
    "receiver's disk full",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PAUSE_S = 2.0
_MOST_TIMES = 3
_LEAST_STEP_S, _MOST_STEP_S = 120, 900


class Strike(NamedTuple):
    """One fault.

    Attributes:
        pause_s: seconds of peace before it.
        times: of cuts and refusals: how many one after the other.
        offset_s: of a step: how far the clock is off from then on, in seconds.
    """

    kind: Kind
    pause_s: float
    times: int
    offset_s: int


def strikes(seed: int) -> Iterator[Strike]:
    """Without an end; each kind once in every round, in an order that changes from round to round."""
    chance = Random(seed)
    while True:
        for kind in chance.sample(KINDS, len(KINDS)):
            step_s = chance.choice((-1, 1)) * chance.randint(_LEAST_STEP_S, _MOST_STEP_S)
            yield Strike(kind, chance.uniform(0, _PAUSE_S), chance.randint(1, _MOST_TIMES), step_s)
