"""Who reads the payload of a flow."""

from collections.abc import Callable

from socmon.network import dns
from socmon.network.dns import DnsReader, DnsStream, Questions
from socmon.network.flows import IGNORED, Flow
from socmon.network.http import HttpReader
from socmon.network.limits import Counts, Limits
from socmon.network.rare import DhcpReader, Rare
from socmon.network.reading import Budget, Reader
from socmon.network.sniffing import Sniffing
from socmon.network.tls import TlsReader
from socmon.network.tunnels import UDP_TUNNELS, TunnelReader
from socmon.network.zeek import Output

_DHCP_PORTS = frozenset((67, 68))
Inner = Callable[[bytes, int, int, float], None]


class Services:
    """Makes the readers; they share their output, their bounds and their counts.

    Attributes:
        rare: reads what is no flow's payload, by way of scapy.
    """

    def __init__(self, output: Output, limits: Limits, counts: Counts, budget: Budget, inner: Inner) -> None:
        self._output = output
        self._budget = budget
        self._inner = inner
        self._counts = counts
        self.rare = Rare(output, limits, counts)
        self._questions = Questions(limits.questions)

    def datagrams(self, flow: Flow) -> Reader:
        """The reader of a UDP flow, known by its ports."""
        ports = _ports(flow)
        if ports & dns.PORTS:
            return DnsReader(flow, self._output, self._counts, self._questions)
        if ports <= _DHCP_PORTS:
            return DhcpReader(flow, self.rare)
        tunnel = ports & UDP_TUNNELS.keys()
        return TunnelReader(flow, min(tunnel), self._inner) if tunnel else IGNORED

    def stream(self, flow: Flow) -> Reader:
        """The reader of a TCP flow: of DNS by its port, of others by what comes first."""
        if 53 in _ports(flow):
            return DnsStream(flow, self._output, self._counts, self._questions, self._budget)
        return Sniffing(flow, tls=self._tls, http=self._http)

    def _tls(self, flow: Flow) -> Reader:
        return TlsReader(flow, self._output, self._counts, self._budget)

    def _http(self, flow: Flow, client_is_originator: bool) -> Reader:  # noqa: FBT001 - see Reader
        return HttpReader(
            flow,
            self._output,
            self._counts,
            self._budget,
            client_is_originator=client_is_originator,
            tunnel=self.stream,
        )


def _ports(flow: Flow) -> set[int]:
    ports = flow.key[-4:]
    return {ports[0] << 8 | ports[1], ports[2] << 8 | ports[3]}
