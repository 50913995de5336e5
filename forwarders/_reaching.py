"""The way to a destination without sending it anything: name, TCP, TLS, and who shows which certificate."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from forwarders._advice import shown
from forwarders._own_thread import in_own_thread
from socmon import tls
from socmon.component import Step
from socmon.errors import ComponentError, ConfigError
from socmon.event import rfc3339, to_us
from socmon.i18n import Message, mark
from socmon.text import printable

_REFUSAL_S = 0.5  # TLS 1.3: a server looks at our certificate after our side of the handshake is over
_MAX_ADDRESSES = 4  # that are told


class Goal(Struct, frozen=True):
    """Where to, and by which certificates.

    Attributes:
        context: makes that of the connection, None without TLS; reads files.
        cert: ours, where one is shown.
        ca: what vouches for the server; None for the system's authorities.
        name_in: the option that holds the server's name.
    """

    host: str
    port: int
    context: Callable[[], ssl.SSLContext | None]
    cert: Path | None = None
    ca: Path | None = None
    name_in: str = "host"

    @property
    def place(self) -> str:
        """Host and port, as they are shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Road:
    """The steps that were made.

    Attributes:
        context: that of the connection, once it was made.
    """

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.steps: list[Step] = []
        self.context: ssl.SSLContext | None = None
        self._next: Step = Step("name")

    def begin(self, step: Step) -> None:
        """What is tried now; if time is over, that is what took too long."""
        self._next = step

    def made(self, **values: str | float) -> None:
        """It went well."""
        self.steps.append(Step(self._next.name, {**self._next.values, **values}))

    def failed(self, error: str) -> None:
        """It did not."""
        self.steps.append(Step(self._next.name, self._next.values, error))

    @property
    def is_open(self) -> bool:
        """Whether nothing was wrong."""
        return not any(step.error for step in self.steps)


async def reach(name: str, goal: Goal, timeout_s: float) -> Road:
    """Go there and hang up.

    Args:
        name: of the destination; its blocking work is done under it.
    """
    road = Road(goal)
    try:
        async with asyncio.timeout(timeout_s):
            await _go(name, road)
    except TimeoutError:
        text = mark("{place} did not answer within {timeout_s} s; look at the network, and at firewalls on the way")
        road.failed(Message(text, place=goal.place, timeout_s=f"{timeout_s:g}"))
    except (ComponentError, ConfigError) as error:
        road.failed(str(error))
    except OSError as error:
        road.failed(_meaning(error, goal))
    return road


async def reach_all(name: str, goals: Sequence[Goal], timeout_s: float) -> list[Step]:
    """Go to each of them, at the same time; the steps of one after those of the other."""
    roads = await asyncio.gather(*(reach(f"{name} {goal.place}", goal, timeout_s) for goal in goals))
    return [step for road in roads for step in road.steps]


async def _go(name: str, road: Road) -> None:
    goal = road.goal
    road.begin(Step("own", {"file": str(goal.cert)} if goal.cert else {}))
    remedy = "check the disk or mount that holds the keys"
    road.context = await in_own_thread(goal.context, name=f"read of the keys of {name}", remedy=remedy)
    if goal.cert and (ends := await asyncio.to_thread(tls.expiry, goal.cert)):
        road.made(expires=rfc3339(to_us(ends)))
    road.begin(Step("name", {"host": goal.host}))
    look = partial(socket.getaddrinfo, goal.host, goal.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    lookup = f"name lookup of {goal.host} by {name}"
    found = await in_own_thread(look, name=lookup, remedy="check the name servers in /etc/resolv.conf")
    addresses = [str(address[0]) for *_, address in found]
    road.made(addresses=", ".join(dict.fromkeys(addresses[:_MAX_ADDRESSES])))
    road.begin(Step("tcp", {"address": goal.place}))
    reader, writer = await asyncio.open_connection(goal.host, goal.port, happy_eyeballs_delay=0.25)
    try:
        road.made()
        if road.context is not None:
            await _shake_hands(road, road.context, reader, writer)
    finally:
        writer.close()


async def _shake_hands(
    road: Road, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    road.begin(Step("tls"))
    await writer.start_tls(context, server_hostname=road.goal.host)
    connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    if road.goal.cert:
        with suppress(TimeoutError):
            async with asyncio.timeout(_REFUSAL_S):
                await reader.read(1)
    road.made(
        version=connection.version() or "",
        subject=printable(certificate.subject.rfc4514_string()[:200]),
        expires=rfc3339(to_us(certificate.not_valid_after_utc)),
    )


def _meaning(error: OSError, goal: Goal) -> str:
    """In the operator's words, with what helps."""
    at = {"place": goal.place, "option": goal.name_in}
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, goal)
    if refusal := tls.refused_ours(error):
        text = mark("{place} does not accept our certificate ({said}); send them what `socmon keys show {cert}` prints")
        return Message(text, said=refusal[1], cert=goal.cert, **at)
    if isinstance(error, socket.gaierror):
        text = mark("{host} has no address ({said}); is {option} right, do the name servers answer?")
        return Message(text, host=goal.host, said=error.strerror, **at)
    if isinstance(error, ConnectionRefusedError):
        return Message(mark("nothing listens at {place}; is it up, is {option} right?"), **at)
    if isinstance(error, ssl.SSLError):
        return Message(mark("{place} does not speak TLS as we do ({said})"), said=shown(error), **at)
    return Message(mark("{place}: {said}; look at the network, and at firewalls on the way"), said=shown(error), **at)


def _untrusted(error: ssl.SSLCertVerificationError, goal: Goal) -> str:
    """Whoever answers shows a certificate that we do not take."""
    told = {"place": goal.place, "option": goal.name_in, "said": shown(error.verify_message.rstrip("."))}
    if error.verify_code in tls.OTHER_NAME:
        text = mark("the certificate of {place} is for another name ({said}); write in {option} one that it holds")
    elif error.verify_code in {tls.EXPIRED, tls.NOT_YET_VALID}:
        text = mark("the certificate of {place} is not valid today ({said}); see our clock, or tell those who run it")
    elif goal.ca is None:
        text = mark("the certificate of {place} is of no authority of this system ({said}); set ca to its authority")
    else:
        text = mark("the certificate of {place} is not signed by {ca} ({said}); set ca to the authority that signed it")
    return Message(text, ca=goal.ca, **told)
