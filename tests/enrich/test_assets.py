"""Whose an event is: the longest prefix, the nearest name, and which of an event's hosts and addresses counts."""

from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st
from watchdog import watchdog

from socmon.enrich import Assets, Inventory
from socmon.enrich.assets import MAX_UNKNOWN
from socmon.enrich.inventory import Network, folded
from socmon.event import NOBODY, OWN, Event, LogSource, Owner, Record, Source

CENTRE, PORTAL, COMMUNE = Owner("centre"), Owner("centre", "dvc", 4), Owner("commune")
INVENTORY = Inventory(
    networks={
        ip_network("10.1.0.0/16"): CENTRE,
        ip_network("10.1.9.0/24"): PORTAL,
        ip_network("10.2.0.0/16"): COMMUNE,
        ip_network("2001:db8:2::/48"): COMMUNE,
    },
    patterns={
        "dvc-*": PORTAL,
        "dvc-backup": CENTRE,
        "*-commune": COMMUNE,
        "xã-giồng-trôm-*": COMMUNE,
        "/var/log/nginx/*.log": PORTAL,
    },
    relays=[IPv4Network("10.1.0.5")],
)


def event(host: str = "", peer: str = "/var/log/auth.log", **fields: Any) -> Event:
    return Event(Record(b"", Source("c", peer), 0), 0, "stated", host, LogSource(), fields)


def owner(*args: str, **fields: Any) -> Owner:
    return Assets(INVENTORY).owner(event(*args, **fields))


# ── which of an event's hosts and addresses ──────────────────────────────────────────────────────────────────────────


def test_the_host_that_the_message_names_counts_before_the_peer() -> None:
    assert owner("dvc-web-01", "10.2.0.1") == PORTAL
    assert owner("10.1.9.7", "10.2.0.1") == PORTAL


def test_the_peer_counts_where_the_inventory_does_not_know_the_host() -> None:
    assert owner("localhost", "10.2.0.1") == owner("", "10.2.0.1") == COMMUNE


def test_a_relay_is_nobodys_message() -> None:
    assert owner("localhost", "10.1.0.5") is NOBODY
    assert owner("dvc-web-01", "10.1.0.5") == PORTAL


def test_a_log_without_hosts_is_known_by_its_path() -> None:
    assert owner("", "/var/log/nginx/access.log") == PORTAL
    assert owner("", "/var/log/auth.log") is NOBODY


def test_the_other_side_of_a_hosts_own_event_is_never_asked() -> None:
    assert owner("elsewhere", src_ip="10.1.9.7") is NOBODY
    assert owner("dvc-web-01", src_ip="10.2.0.1") == PORTAL


def test_of_traffic_the_target_counts_then_the_sender_then_whoever_saw_it() -> None:
    seen_by = "dvc-fw-01"
    assert owner(seen_by, src_ip="10.1.9.7", dst_ip="10.2.0.1") == COMMUNE
    assert owner(seen_by, src_ip="10.2.0.1", dst_ip="203.0.113.9") == COMMUNE
    assert owner(seen_by, src_ip="203.0.113.9", dst_ip="192.0.2.1") == PORTAL
    assert owner(seen_by, src_ip=["10.2.0.1"], dst_ip=7) == PORTAL


INSIDE, OUTSIDE = "10.2.0.1", "203.0.113.9"


def seen(service: str, *, host: str = "", peer: str = "eth1", **fields: Any) -> Owner:
    """Of what a sensor tells; `orig` and `resp` are the two ends."""
    names = {"orig": "id.orig_h", "resp": "id.resp_h"}
    told = {names.get(name, name): value for name, value in fields.items()}
    source = LogSource(product="zeek", service=service)
    return Assets(INVENTORY).owner(Event(Record(b"", Source("c", peer), 0), 0, "stated", host, source, told))


def test_of_a_connection_the_target_counts_then_who_opened_it_then_the_sensor() -> None:
    assert seen("conn", orig=OUTSIDE, resp=INSIDE) == COMMUNE
    assert seen("conn", orig=INSIDE, resp=OUTSIDE) == COMMUNE
    assert seen("conn", orig="10.1.9.7", resp=INSIDE) == COMMUNE
    assert seen("conn", orig=OUTSIDE, resp="192.0.2.1") is NOBODY
    assert seen("conn", host="dvc-fw-01", orig=OUTSIDE, resp="192.0.2.1") == PORTAL


def test_of_a_question_to_a_server_for_all_the_asker_counts_first() -> None:
    assert seen("dns", orig=INSIDE, resp="10.1.0.53") == COMMUNE
    assert seen("dns", orig=OUTSIDE, resp="10.1.0.53") == CENTRE
    assert seen("dhcp", client_addr=INSIDE, server_addr="10.1.0.67") == COMMUNE
    assert seen("arp", orig=INSIDE, resp="10.1.0.1") == COMMUNE


def test_a_file_is_of_whoever_got_it() -> None:
    assert seen("files", tx_hosts=["10.1.0.9"], rx_hosts=[INSIDE]) == COMMUNE
    assert seen("files", tx_hosts=["10.1.0.9"], rx_hosts=[OUTSIDE]) == CENTRE
    assert seen("files", tx_hosts=[], rx_hosts=[[INSIDE]]) is NOBODY


def test_words_of_a_client_never_say_whose_it_is() -> None:
    written = {"host": "dvc-web-01", "query": "dvc-web-01", "server_name": "dvc-web-01", "user_agent": "10.1.9.7"}

    assert (
        Assets(INVENTORY).owner(
            Event(Record(b"", Source("c", "eth1"), 0), 0, "stated", "", LogSource("zeek", None, "http"), dict(written))
        )
        is NOBODY
    )


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────

networks = st.one_of(
    st.builds(lambda n, p: IPv4Network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(8, 32)),
    st.builds(lambda n, p: IPv6Network((n, p), strict=False), st.integers(0, 2**128 - 1), st.integers(16, 128)),
)


@given(st.lists(networks, max_size=12), st.data())
def test_the_most_specific_network_counts_as_in_a_search_of_all(known: list[Network], data: st.DataObject) -> None:
    nested = [network.supernet(prefixlen_diff=3) for network in known]
    inventory = Inventory(networks={network: Owner(str(network)) for network in known + nested})
    inside = [network[data.draw(st.integers(0, network.num_addresses - 1))] for network in known]
    addresses = [*inside, data.draw(st.ip_addresses())]

    assets = Assets(inventory)

    for address in addresses:
        plain = getattr(address, "ipv4_mapped", None) or address
        holding = [each for each in inventory.networks if each.version == plain.version and plain in each]
        expected = Owner(str(max(holding, key=lambda each: each.prefixlen))) if holding else NOBODY
        assert assets.owner(event("", str(address))) == expected


def test_an_ipv4_mapped_address_is_the_ipv4_address() -> None:
    assert owner("", "::ffff:10.2.0.1") == owner("::ffff:a02:1") == COMMUNE


def test_an_address_with_a_scope_is_found() -> None:
    assert owner("", "2001:db8:2::1%eth0") == COMMUNE


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_name_counts_before_a_pattern_and_the_longest_beginning_before_others() -> None:
    assert owner("dvc-backup") == CENTRE
    assert owner("dvc-commune") == PORTAL
    assert owner("north-commune") == COMMUNE


def test_case_and_unicode_form_do_not_count() -> None:
    name = "XÃ-GIỒNG-TRÔM-01"
    assert owner("DVC-Web-01") == PORTAL
    assert owner(normalize("NFC", name)) == owner(normalize("NFD", name)) == COMMUNE


@given(st.lists(st.text("ab*?Ế", min_size=1, max_size=5), max_size=8), st.text("abế", min_size=1, max_size=6))
def test_a_name_matches_what_a_glob_of_the_shell_matches(patterns: list[str], name: str) -> None:
    known = {folded(pattern): Owner(folded(pattern)) for pattern in patterns}
    found = Assets(Inventory(patterns=known)).owner(event(name)).agency

    fitting = [pattern for pattern in known if fnmatchcase(folded(name), pattern)]
    assert bool(found) == bool(fitting)
    if found:
        assert found in fitting
        assert rank(found) == max(map(rank, fitting))


def rank(pattern: str) -> tuple[bool, int, int]:
    wild = [pattern.index(sign) for sign in "*?" if sign in pattern]
    return not wild, min(wild, default=0), sum(letter not in "*?" for letter in pattern)


@given(st.text(max_size=300), st.text(max_size=300), st.dictionaries(st.sampled_from(["src_ip", "dst_ip"]), st.text()))
def test_whatever_a_host_or_address_is_called_there_is_an_answer(host: str, peer: str, fields: dict[str, str]) -> None:
    assert isinstance(owner(host, peer, **fields), Owner)


def test_hostile_names_are_answered_at_once() -> None:
    assets = Assets(Inventory(patterns={"*a*a*a*a*a*a*a*b": CENTRE, "x*": COMMUNE}))

    with watchdog("the look-up of a hostile name"):
        assert assets.owner(event("a" * 60_000)) is NOBODY
        assert assets.owner(event("a" * 255)) is NOBODY
    assert assets.owner(event("x\udcff\u202e\x1b[31m")) == COMMUNE


# ── many ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ten_thousand_networks_and_names_are_quick() -> None:
    known: dict[Network, Owner] = {IPv4Network((0x0A000000 + n * 256, 24)): Owner(f"a{n}") for n in range(10_000)}
    assets = Assets(Inventory(networks=known, patterns={f"h{n}-*": Owner(f"b{n}") for n in range(10_000)}))
    events = [event("", str(ip_address(0x0A000007 + n * 256))) for n in range(10_000)]
    named = [event(f"h{n}-web") for n in range(10_000)]

    with watchdog("the look-up of 20,000 hosts"):
        found = [assets.owner(each).agency for each in events + named]

    assert found == [f"a{n}" for n in range(10_000)] + [f"b{n}" for n in range(10_000)]


def test_unknown_hosts_are_noted_once_each_and_bounded() -> None:
    assets = Assets(INVENTORY)

    assets.look_at([("c", "/f", "dvc-01"), ("c", "/f", "stray"), ("d", "/g", "stray"), ("c", "192.0.2.9", "")])
    assert list(assets.unknown) == ["stray", "192.0.2.9"]
    assets.look_at(("c", "/f", f"made-up-{n}") for n in range(2 * MAX_UNKNOWN))

    assert len(assets.unknown) == MAX_UNKNOWN


def test_own_records_are_of_no_unknown_host() -> None:
    assets = Assets(INVENTORY)

    assets.look_at([(OWN, "test", ""), (OWN, "source", "stray")])

    assert not assets.unknown
