"""The garbage collector, for a process that holds much and makes hardly any garbage that goes round in circles."""

import gc

_NEW_OBJECTS = 50_000  # at most that many more than freed ones, before the newest are looked through


def settle() -> None:
    """Call once all that stays is loaded: rules and modules are then never looked through again.

    Whoever replays a million lines would else look through all of them each time that the state of correlation has
    grown by a quarter, and through its newest objects every 700.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)
