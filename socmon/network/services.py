"""Who reads the payload of a flow."""

from socmon.network import dns
from socmon.network.dns import DnsReader, DnsStream, Questions
from socmon.network.flows import Application, Flow
from socmon.network.limits import Counts, Limits
from socmon.network.zeek import Output


class Services:
    """Makes the readers; they share their output, their bounds and their counts."""

    def __init__(self, output: Output, limits: Limits, counts: Counts) -> None:
        self._output = output
        self._counts = counts
        self._questions = Questions(limits.questions)

    def datagrams(self, flow: Flow) -> Application | None:
        """The reader of a UDP flow, known by its ports."""
        if _ports(flow) & dns.PORTS:
            return DnsReader(flow, self._output, self._counts, self._questions)
        return None

    def stream(self, flow: Flow) -> Application | None:
        """The reader of a TCP flow."""
        if 53 in _ports(flow):
            return DnsStream(flow, self._output, self._counts, self._questions)
        return None


def _ports(flow: Flow) -> set[int]:
    ports = flow.key[-4:]
    return {ports[0] << 8 | ports[1], ports[2] << 8 | ports[3]}
