"""What the usual keys of structured logs mean, in Sigma's taxonomy.

A key is known in any spelling: `clientIp`, `client_ip` and `client.ip` are one. Sources: Elastic Common Schema 8, the
JSON formats of nginx, Apache, Traefik and Envoy, and the loggers of Python, Java, Go and .NET.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from socmon.addresses import address
from socmon.event import LogSource
from socmon.parsers.requests import request_fields, uri_fields

_NOT_SPELLED = str.maketrans("", "", "_-. ")
_HOST = ("hostname", "computer", "computername", "machine", "machinename", "nodename")
_HOST_OR_SITE = "host"  # the site that is asked for, in the log of a request
_MESSAGE = ("message", "msg", "event", "log", "eventoriginal", "text", "thongdiep", "noidung")
_SERVICE = ("service", "servicename", "app", "appname", "application", "program", "logger", "loggername")
_SRC_IP = (
    *("srcip", "clientip", "sourceip", "remoteaddr", "remoteip", "remoteaddress", "remotehost", "clientaddr"),
    *("clienthost", "clientaddress", "downstreamremoteaddress", "ipaddress", "callerip", "userip", "srcaddr", "ip"),
)
_USER = ("user", "username", "userid", "login", "account", "accountname", "principal", "tendangnhap", "taikhoan")
_METHOD = ("method", "requestmethod", "httpmethod", "httprequestmethod", "verb")
_URI = (
    *("requesturi", "uri", "path", "requestpath", "url", "urloriginal", "urlpath", "requesturl", "httppath"),
    *("xenvoyoriginpath", "originalpath", "endpoint"),
)
_REQUEST = ("request", "requestline", "httprequest")
_STATUS = (
    *("status", "statuscode", "responsestatus", "responsecode", "httpstatus", "httpstatuscode", "downstreamstatus"),
    *("httpresponsestatuscode", "originstatus", "resstatuscode"),
)
_WEB = {
    "cs-user-agent": ("useragent", "httpuseragent", "useragentoriginal", "requestuseragent", "agent", "httpagent"),
    "cs-referer": ("referer", "referrer", "httpreferer", "httpreferrer", "httprequestreferrer", "requestreferer"),
    "cs-host": ("host", "httphost", "requesthost", "vhost", "servername", "authority", "urldomain"),
    "cs-version": ("protocol", "serverprotocol", "requestprotocol", "httpversion"),
    "cs-username": ("remoteuser", "clientusername", "user", "username", "userid"),
    "xff": ("xforwardedfor", "httpxforwardedfor", "forwardedfor"),
}
_BYTES = ("bodybytessent", "bytessent", "bytes", "bytesout", "size", "responsesize", "downstreamcontentsize")
_LEAST_STATUS, _GREATEST_STATUS = 100, 599

_LOGIN = (
    *("login", "logon", "signin", "authenticat", "dangnhap", "xacthuc"),
    "authfail",
    "authsuccess",
)
_LOGIN_KEYS = ("event", "eventname", "eventtype", "eventaction", "action", "activity", "operation", "type", "hanhdong")
_RESULT_KEYS = ("outcome", "eventoutcome", "result", "loginresult", "status", "success", "successful", "ketqua")
_OUTCOMES = {
    **dict.fromkeys(("success", "succeeded", "successful", "ok", "true", "passed", "granted", "thanhcong"), "success"),
    **dict.fromkeys(("failure", "failed", "fail", "error", "false", "denied", "rejected", "invalid"), "failure"),
    **dict.fromkeys(("unsuccessful", "thatbai", "khongthanhcong", "saimatkhau", "tuchoi"), "failure"),
}
_EVENT_OUTCOMES = (
    *((word, "failure") for word in ("fail", "unsuccess", "denied", "reject", "invalid", "thatbai", "khongthanhcong")),
    *((word, "success") for word in ("success", "succeed", "thanhcong")),
)


def by_meaning(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` by the letters of their names alone; of names with the same letters the first."""
    known: dict[str, Any] = {}
    for name, value in fields.items():
        known.setdefault(_letters(name), value)
    return known


@lru_cache(maxsize=4096)
def _letters(text: str) -> str:
    """`text` in lower case, without what divides words, and Vietnamese without its marks, NFC and NFD alike."""
    text = text.lower().translate(_NOT_SPELLED)
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFD", text.replace("đ", "d"))
    return "".join(part for part in parts if not unicodedata.combining(part))


def logsource(known: Mapping[str, Any], *, category: str) -> LogSource:
    """What the keys product, category and service (or application) say, in lower case; `category` where none does."""
    service = _text(known, _SERVICE)
    return LogSource(
        product=_name(_text(known, ("product", "productname"))),
        category=_name(_text(known, ("category",))) or category,
        service=_name(service),
    )


def host(known: Mapping[str, Any], *, of_request: bool) -> str:
    """The host that the event happened on; "" if unstated."""
    keys = _HOST if of_request else (_HOST_OR_SITE, *_HOST)
    return _text(known, keys)[:255]


def message(known: Mapping[str, Any]) -> str | None:
    """The text for people; None if there is none."""
    return _text(known, _MESSAGE) or None


def common_fields(known: Mapping[str, Any]) -> dict[str, Any]:
    """`src_ip src_port user outcome`, as far as they are stated."""
    fields: dict[str, Any] = {}
    for key in _SRC_IP:
        value = known.get(key)
        if isinstance(value, str) and (found := _peer(value)):
            fields["src_ip"] = found[0]
            if found[1]:
                fields["src_port"] = int(found[1])
            break
    user = _text(known, _USER)
    if user and user != "-":
        fields["user"] = user
    if outcome := _outcome(known):
        fields["outcome"] = outcome
    return fields


def web_fields(known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the category webserver; {} unless method, URI and status of a request are stated."""
    status = next((value for key in _STATUS if (value := _whole(known.get(key))) is not None), 0)
    if not _LEAST_STATUS <= status <= _GREATEST_STATUS:
        return {}
    fields = request_fields(_text(known, _REQUEST))
    if "cs-uri" not in fields:
        method, uri = _text(known, _METHOD), _text(known, _URI)
        if not (method and uri):
            return {}
        fields = {"cs-method": method.upper(), **uri_fields(uri)}
    fields["sc-status"] = status
    for name, keys in _WEB.items():
        if (text := _text(known, keys)) and text != "-":
            fields.setdefault(name, text)
    if "xff" in fields and (forwarded := _peer(fields.pop("xff").partition(",")[0])):
        fields["xff"] = forwarded[0]
    size = next((value for key in _BYTES if (value := _whole(known.get(key))) is not None), None)
    if size is not None:
        fields["sc-bytes"] = size
    if src_ip := common_fields(known).get("src_ip"):
        fields["c-ip"] = src_ip
    return fields


def _outcome(known: Mapping[str, Any]) -> str | None:
    """How an attempt to log in ended, where an event's name tells of one and a result of it is plainly said."""
    for key in _LOGIN_KEYS:
        value = known.get(key)
        if not isinstance(value, str) or len(value) > 128:  # a name, not a sentence
            continue
        event = _letters(value)
        if not any(word in event for word in _LOGIN):
            continue
        for result_key in _RESULT_KEYS:
            result = known.get(result_key)
            if isinstance(result, (str, bool)) and (told := _OUTCOMES.get(_letters(str(result)[:64]))):
                return told
        return next((told for word, told in _EVENT_OUTCOMES if word in event), None)
    return None


def _peer(text: str) -> tuple[str, str] | None:
    """(address, port or "") of `192.0.2.7`, `192.0.2.7:4000`, `[2001:db8::7]:4000`."""
    text = text.strip()[:128]
    if found := address(text):
        return found, ""
    name, _, port = text.rpartition(":")
    found = address(name.removeprefix("[").removesuffix("]"))
    if found and port.isascii() and port.isdecimal() and len(port) <= 5:  # digits of a port
        return found, port
    return None


def _text(known: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of `keys` that holds text; "" without any."""
    return next((value for key in keys if isinstance(value := known.get(key), str) and value), "")


def _name(text: str) -> str | None:
    return text[:128].lower() or None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:  # 64 bits
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
