"""What the demonstration stands on: one folder with keys, configuration, logs, and the state of province and centre."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from socmon.demo.sample import BY_NAME, STREAMS, Stream
from socmon.feed.keys import generate
from socmon.resources import shipped

DESTINATION = "centre"
HTTP = "http"  # among the ports: where the daemon shows its metrics
ORG_ID = "000.00.00.H07"
TOPIC = "tinh"  # below it the agencies publish

_NAME = "Provincial data centre"
_SEGMENT_BYTES = 1024 * 1024


class Scene(Struct, frozen=True):
    """Where what is, below `folder`.

    Attributes:
        streams: that come in: without a broker, none over MQTT.
    """

    folder: Path
    streams: tuple[Stream, ...] = STREAMS

    def log(self, stream: Stream) -> Path:
        """The log that the hosts write and the daemon follows."""
        return self.folder / f"{stream.name}.log"

    @property
    def captures(self) -> Path:
        """The folder of the sensor's capture files, whose names sort as they were made."""
        return self.folder / "captures"

    @property
    def broker(self) -> Path:
        """The folder of the broker."""
        return self.folder / "broker"

    @property
    def journal(self) -> Path:
        """The daemon's journal."""
        return self.folder / "state" / "journal"

    @property
    def store(self) -> Path:
        """The daemon's store."""
        return self.folder / "state" / "socmon.db"

    @property
    def run(self) -> list[str]:
        """Arguments of `socmon` for the daemon."""
        return ["-c", str(self.config), "run"]

    @property
    def ncsc(self) -> list[str]:
        """Arguments of `socmon` for the centre, on free ports."""
        keys, anywhere = self._keys, "127.0.0.1:0"
        files = ["--cert", str(keys / "centre.pem"), "--key", str(keys / "centre.key"), "--ca", str(keys / "ca.pem")]
        who = ["--organisation", f"{ORG_ID}={_NAME}", "--state", str(self.folder / "centre")]
        return ["ncsc", "--listen", anywhere, "--admin", anywhere, *files, *who]

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.folder / "config.yaml"

    @property
    def _assets(self) -> Path:
        return self.folder / "assets.yaml"

    @property
    def _keys(self) -> Path:
        return self.folder / "keys"

    def furnish(self) -> None:
        """Make the keys, the inventory and empty logs."""
        generate(self._keys, ORG_ID, name=_NAME)
        self._assets.write_text(yaml.safe_dump(self._inventory(), allow_unicode=True), encoding="utf-8")
        self.captures.mkdir(mode=0o750)
        for stream in self.streams:
            if stream.transport == "file":
                self.log(stream).touch(mode=0o640)

    def _inventory(self) -> dict[str, Any]:
        """The example that ships, with our portal's log, whose lines state no host."""
        inventory: dict[str, Any] = yaml.safe_load(shipped("assets.example.yaml").read_text("utf-8"))
        systems = [system for agency in inventory["agencies"] for system in agency.get("systems", ())]
        portal = next(system for system in systems if system["id"] == "dvc")
        portal["hosts"].append(str(self.log(BY_NAME["portal"]).absolute()))
        return inventory

    def configure(self, feed_url: str, ports: Mapping[str, int]) -> None:
        """Write the daemon's configuration; `ports` are those of the streams that come over the network, and `HTTP`."""
        text = yaml.safe_dump(self._configuration(feed_url, ports), sort_keys=False, allow_unicode=True)
        self.config.write_text(text, encoding="utf-8")

    def _collector(self, stream: Stream, ports: Mapping[str, int]) -> dict[str, Any]:
        if stream.transport == "file":
            return {"kind": "file", "paths": [str(self.log(stream).absolute())], "start": "beginning"}
        if stream.transport == "mqtt":
            place = {"host": "127.0.0.1", "port": ports[stream.name], "tls": False}
            return {"kind": "mqtt", **place, "client_id": "socmon-demo", "topics": [f"{TOPIC}/#"]}
        if stream.transport == "capture":
            at_once = {"settle_s": 0, "poll_s": 0.2}
            return {"kind": "pcap", "paths": [str(self.captures.absolute() / "*.pcap")], **at_once}
        kind = "syslog_udp" if stream.transport == "datagram" else "syslog_tcp"
        return {"kind": kind, "port": ports[stream.name]}

    def _configuration(self, feed_url: str, ports: Mapping[str, int]) -> dict[str, Any]:
        keys = self._keys.absolute()
        centre = {
            "kind": "ncsc",
            "url": feed_url,
            "ca": str(keys / "ca.pem"),
            "cert": str(keys / "client.pem"),
            "key": f"file:{keys / 'client.key'}",
            "signing_key": f"file:{keys / 'client-signing.jwks'}",
            "centre_key": str(keys / "centre-signing.pub.jwks"),
            "org_id": ORG_ID,
        }
        return {
            "state_dir": str(self.journal.parent.absolute()),
            "collectors": {stream.name: self._collector(stream, ports) for stream in self.streams},
            "forwarders": {
                DESTINATION: centre,
                "alerts_file": {"kind": "file", "path": str(self.folder.absolute() / "alerts.ndjson")},
            },
            "assets": {"paths": [str(self._assets.absolute())]},
            "journal": {"segment_bytes": _SEGMENT_BYTES},
            "store": {"checkpoint_s": 0.5},
            # Impatient, so that a minute shows what otherwise takes an hour.
            "delivery": {"release_interval_s": 1.0, "backoff_first_s": 0.2, "backoff_limit_s": 2.0},
            "http": {"port": ports[HTTP]},
        }


def doors(streams: Sequence[Stream]) -> tuple[dict[str, int], dict[str, socket.socket]]:
    """A port for each stream that comes over the network, and for `HTTP`; and the sockets of those that come over UDP.

    They stay the same when the daemon is started again. The sockets are held open, as systemd holds those of a socket
    unit: what is sent while the daemon is down waits in the kernel.
    """
    held = {each.name: _bound(socket.SOCK_DGRAM) for each in streams if each.transport == "datagram"}
    names = [HTTP, *(each.name for each in streams if each.transport in {"newline", "octets", "mqtt"})]
    free = {name: _bound(socket.SOCK_STREAM) for name in names}
    ports = {name: int(each.getsockname()[1]) for name, each in (free | held).items()}
    for each in free.values():
        each.close()
    return ports, held


def _bound(kind: socket.SocketKind) -> socket.socket:
    door = socket.socket(socket.AF_INET, kind)
    door.bind(("127.0.0.1", 0))
    return door
