"""Kills (-9) of a daemon that takes flows: none is lost that was sent while it was down, and templates are known."""

from contextlib import closing
from pathlib import Path

import pytest
from datagram_kills import Kills
from field import field_in
from manager_kit import udp_socket
from numbered_flows import FLOWS, NumberedFlows, flows_of

NAME = "flows"
KILLS = 10


@pytest.mark.timeout(900)
def test_ten_kills_lose_no_flow_that_was_not_in_a_killed_process(tmp_path: Path) -> None:
    with closing(udp_socket()) as held, field_in(tmp_path / "province") as place:
        flows = {NAME: {"kind": "netflow", "port": 0, "format": "json"}}
        # The shipped rules would only make each of eleven starts longer.
        place.configure([], collectors=flows, forwarders={}, rules={"shipped": False, "paths": []})
        sender = NumberedFlows(held.getsockname()[1])
        sender.start()  # it tells its template now, and never again
        try:
            Kills(place, sender, NAME, flows_of, each=FLOWS, ahead=15, down=20).run({NAME: held}, KILLS, lambda: None)
        finally:
            sender.finish()
