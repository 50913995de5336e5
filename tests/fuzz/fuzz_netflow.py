"""Fuzz target: datagrams as anybody may send them to the decoder of flows."""

import json

from socmon.errors import ParseError
from socmon.network.flow_exporters import Limits
from socmon.network.netflow import Decoder

LIMITS = Limits(exporters=2, domains=2, templates=3, all_templates=5, samplers=2, held_bytes=300, state_bytes=2000)


def one_input(datagrams: list[bytes]) -> None:
    """Nothing is raised, every line is a conn event, what is kept stays within its bounds, and a restart knows it."""
    decoder, flows = Decoder(LIMITS), 0
    for number, datagram in enumerate(datagrams):
        exporter = f"192.0.2.{number % 3}"
        lines = decoder.lines(datagram, exporter, float(number))
        again = [Decoder(LIMITS).lines(datagram, exporter, 0.0) for _ in range(2)]
        assert again[0] == again[1]
        flows += len(lines)
        for each in map(json.loads, lines):
            assert each["_path"] == "conn"
            assert each["ts"] >= 0
            assert {"uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"} <= each.keys()
        state = decoder.state(exporter)
        if state is not None:
            assert len(state) <= LIMITS.state_bytes
            reborn = Decoder(LIMITS)
            reborn.restore(exporter, state)
            assert reborn.state(exporter) == state
    decoder.give_up()
    exporters = decoder._exporters
    assert decoder.counts.flows == flows
    assert decoder.counts.lost <= decoder.counts.held
    assert exporters.waiting._bytes == len(exporters.waiting._held) == 0
    held = [domain.templates for domains in exporters._known.values() for domain in domains.values()]
    assert sum(map(len, held)) == exporters._templates


def one_state(state: bytes) -> None:
    """A state that is none is a ParseError; what is kept of it may be used."""
    decoder = Decoder(LIMITS)
    try:
        decoder.restore("192.0.2.1", state)
    except ParseError:
        return
    decoder.state("192.0.2.1")
