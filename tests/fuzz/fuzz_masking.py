"""Fuzz target: a log line on its way out, as any attacker could write it."""

from socmon.feed.folding import fold
from socmon.feed.masking import MASK, masked
from socmon.feed.personal import find, without


def one_input(data: bytes) -> None:
    """Mask and clean `data`: what is left names nobody, can be stored, and the folded form knows where it came from."""
    text = data.decode("utf-8", "backslashreplace")
    folded = fold(text)
    assert folded.text.isascii()
    assert len(folded.text) == len(folded.starts) == len(folded.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))
    shown, count = masked(text)
    assert (MASK in shown) or not count
    shown, kinds = without(shown)
    assert find(shown) == []
    assert without(shown) == (shown, [])
    assert kinds or count or shown == text
    shown.encode()
