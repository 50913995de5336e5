"""Text that others wrote, made safe to show on a terminal (Unicode: C0, C1, UAX #9 directional formatting)."""

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINE_BREAKS = (0x2028, 0x2029)
_SURROGATES = range(0xD800, 0xE000)  # they cannot be encoded, so they would end the program that prints them

VISIBLE = {code: f"\\x{code:02x}" for code in _CONTROLS}
VISIBLE |= {code: f"\\u{code:04x}" for code in (*_BIDI, *_LINE_BREAKS, *_SURROGATES)}


def printable(text: str) -> str:
    r"""`text` on one line: controls, bidirectional controls, line breaks as visible escapes (`\x1b`, `\u202e`)."""
    return text.translate(VISIBLE)
