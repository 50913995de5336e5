"""What a broker's refusals mean in the operator's words, and what helps."""

import ssl

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from socmon.errors import BlockedError, ComponentError
from socmon.mqtt.settings import BrokerSettings
from socmon.text import printable
from socmon.tls import refused_ours, untrusted

_REMEDIES = {
    0x84: ("protocol", "it must speak MQTT 5: update the broker"),
    0x85: ("client_id", "choose another client_id"),
    0x86: ("credentials", "correct username and password"),
    0x87: ("credentials", "correct username and password, or ask those who run the broker for the right to connect"),
    0x8A: ("credentials", "ask those who run the broker why this client is banned"),
    0x8E: ("client_id", "another client has the same client_id; give each its own"),
}


def trouble(settings: BrokerSettings, error: BaseException) -> ComponentError:
    """What `error` of the connection means, and what helps."""
    place = settings.place
    match error:
        case ComponentError():
            return error
        case ssl.SSLCertVerificationError():
            return untrusted(error, f"{place}: the broker's certificate", settings.ca, name_in="host")
        case aiomqtt.MqttCodeError(rc=ReasonCode() as code):
            return _refusal(f"{place} refuses us: {str(code).lower()}", code)
        case ssl.SSLError() if refusal := refused_ours(error):
            what = f"{place} does not accept our certificate (it says: {refusal[1]})"
            return BlockedError(what, reason=refusal[0], remedy="see which one it asks for, and set cert and key")
        case ConnectionRefusedError():
            what = f"nothing listens at {place}; is the broker up, are host and port right?"
        case ssl.SSLError():
            what = f"no TLS with {place}: {_text(error.reason or error)}; does that port speak TLS?"
        case OSError(strerror=str(reason)):
            what = f"no connection with {place}: {_text(reason.lower())}"
        case _:
            what = f"no connection with {place}: {_text(str(error) or type(error).__name__)}"
    return ComponentError(what)


def _refusal(what: str, code: ReasonCode) -> ComponentError:
    if known := _REMEDIES.get(code.value):
        return BlockedError(what, reason=known[0], remedy=known[1])
    return ComponentError(what)


def _text(said: object) -> str:
    return printable(str(said)[:200])
