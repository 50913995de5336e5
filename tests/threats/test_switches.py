"""Switching a control off reaches whoever has imported it, is undone, and notices a control that is not there."""

import pytest
from switched_off import switch
from threat_switches import Changed, Instead, Line, to

from socmon.feed.sharing import tlp_of
from socmon.text import printable


def line(*off: Instead | Changed) -> Line:
    return Line("X1", [], off)


def test_a_function_is_off_for_whoever_imported_it_and_on_again_afterwards() -> None:
    with pytest.MonkeyPatch.context() as patch:
        switch(line(Instead("socmon.text:printable", lambda text: text * 2)), patch)
        off = printable("\x1b")

    assert (off, printable("\x1b")) == ("\x1b\x1b", "\\x1b")


def test_several_are_off_at_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        never_red = Instead("socmon.feed.sharing:tlp_of", lambda _tags, default: default)
        switch(line(never_red, Changed("socmon.control.server:_MODE", to(0))), patch)

        from socmon.control import server  # noqa: PLC0415  as it is now

        assert (tlp_of(["tlp.red"], "GREEN"), server._MODE) == ("GREEN", 0)


@pytest.mark.parametrize(
    "off",
    [Changed("socmon.text:no_such_name", to(None)), Instead("socmon.ncsc.gate:Gate.no_such_name", lambda: None)],
)
def test_a_control_that_is_gone_is_an_error(off: Instead | Changed) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AttributeError, match="no_such_name"):
        switch(line(off), patch)


def test_what_is_no_function_has_no_code_to_exchange() -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError, match="no function of ours"):
        switch(line(Instead("socmon.control.server:_MODE", lambda: None)), patch)
