"""Filters as tcpdump knows them (pcap-filter(7)), compiled by libpcap, which scapy calls."""

import ctypes

from socmon.errors import ConfigError

_INSTRUCTION_BYTES = 8
_NO_SCAPY = "--filter needs scapy; pip install 'socmon[capture]'"
_NO_LIBPCAP = "--filter needs libpcap; apt-get install libpcap0.8"


def compiled(expression: str, link: int) -> bytes:
    """The instructions for packets of link type `link`, each a struct sock_filter.

    Raises:
        ConfigError: the expression is wrong, or what compiles it is not installed.
    """
    try:
        from scapy.arch.common import compile_filter, free_filter  # noqa: PLC0415  slow to import, and optional
        from scapy.error import Scapy_Exception  # noqa: PLC0415  as above
    except ImportError:
        raise ConfigError([_NO_SCAPY]) from None
    try:
        program = compile_filter(expression, linktype=link)
    except ImportError:
        raise ConfigError([_NO_LIBPCAP]) from None
    except Scapy_Exception as error:
        raise ConfigError([f"--filter: {str(error)[:500]}"]) from None
    try:
        return ctypes.string_at(program.bf_insns, program.bf_len * _INSTRUCTION_BYTES)
    finally:
        free_filter(program)
