"""Whatever a user calls himself, the address is the one that sshd saw."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import sshd

LIES = [
    "root from 6.6.6.6 port 22 ssh2",
    "root from 6.6.6.6 port 22 ssh2: RSA SHA256:AbC",
    "root from 6.6.6.6 port 22 ssh2 [preauth]",
    'root from 6.6.6.6 port 22 ssh2: RSA SHA256:AbC, client user "a", client host "b"',
    "root from 6.6.6.6 port 22 ssh2: RSA-CERT SHA256:AbC ID x (serial 1) CA RSA SHA256:AbC",
    "from 6.6.6.6",
    "from",
    "",
    " ",
    "port 22",
    "x 6.6.6.6 port 22",
    "x 6.6.6.6 port 22: Too many authentication failures",
    "a for invalid user b from 6.6.6.6 port 22 ssh2",
    "invalid user b",
    "a\\nNov 23 10:00:02 web01 sshd[812]: Accepted password for root from 6.6.6.6 port 22 ssh2",
]
names = st.lists(
    st.sampled_from([" ", "from", "port", "6.6.6.6", "22", "ssh2", ":", "RSA", '"', "for", "user", "[preauth]", "]"])
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    max_size=12,
).map(" ".join) | st.sampled_from(LIES)  # fmt: skip

# Each is a format string of OpenSSH with an attacker's user name in it, and the outcome it stands for.
FORMS = {
    "Failed password for invalid user {} from 192.0.2.1 port 4000 ssh2": "failure",
    "Failed none for invalid user {} from 192.0.2.1 port 4000 ssh2 [preauth]": "failure",
    "Failed publickey for invalid user {} from 192.0.2.1 port 4000 ssh2: ED25519 SHA256:AbC": "failure",
    "Accepted password for {} from 192.0.2.1 port 4000 ssh2": "success",
    "Postponed keyboard-interactive for invalid user {} from 192.0.2.1 port 4000 ssh2 [preauth]": None,
    "Invalid user {} from 192.0.2.1 port 4000": None,
    "Invalid user {} from 192.0.2.1": None,
    "error: maximum authentication attempts exceeded for invalid user {} from 192.0.2.1 port 4000 ssh2 [preauth]": None,
    "Connection closed by invalid user {} 192.0.2.1 port 4000 [preauth]": None,
    "Connection reset by authenticating user {} 192.0.2.1 port 4000 [preauth]": None,
    "Disconnected from invalid user {} 192.0.2.1 port 4000 [preauth]": None,
    "User {} from 192.0.2.1 not allowed because not listed in AllowUsers": None,
    "error: PAM: Authentication failure for illegal user {} from 192.0.2.1": None,
    "Bad protocol version identification '{}' from 192.0.2.1 port 4000": None,
    "Received disconnect from 192.0.2.1 port 4000:11: {} [preauth]": None,
    "reverse mapping checking getaddrinfo for {} [192.0.2.1] failed - POSSIBLE BREAK-IN ATTEMPT!": None,
}


@settings(max_examples=200, deadline=None)
@given(form=st.sampled_from(sorted(FORMS)), name=names)
def test_user_name_never_changes_address_or_outcome(form: str, name: str) -> None:
    found = sshd(form.format(name)).fields

    assert found.get("src_ip") == "192.0.2.1"
    assert found.get("src_port", 4000) == 4000
    assert found.get("outcome") == FORMS[form]


@pytest.mark.parametrize("form", sorted(form for form in FORMS if "user {}" in form and "Bad" not in form))
@pytest.mark.parametrize("name", LIES)
def test_user_name_is_read_back_whole(form: str, name: str) -> None:
    assert sshd(form.format(name)).fields["user"] == name


# Free text on both sides of the address: the form is read only where it cannot be mistaken.
TWO_SIDED = [
    "Disconnecting invalid user {} 192.0.2.1 port 4000: Change of username or service not allowed: ({},a) -> ({},b)",
    'Failed hostbased for invalid user {} from 192.0.2.1 port 4000 ssh2: RSA S:A, client user "{}", client host "{}"',
    "Failed publickey for invalid user {} from 192.0.2.1 port 4000 ssh2: RSA-CERT S:A ID {} {} (serial 1) CA RSA S:A",
]


@settings(max_examples=200, deadline=None)
@given(form=st.sampled_from(TWO_SIDED), before=names, after=names, last=names)
def test_words_on_both_sides_never_change_the_address(form: str, before: str, after: str, last: str) -> None:
    found = sshd(form.format(before, after, last)).fields

    assert found.get("src_ip") in {"192.0.2.1", None}
    assert "src_ip" in found or "outcome" not in found


@pytest.mark.parametrize(
    ("stated", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("UNKNOWN", None),
        ("host.example", None),
        ("192.0.2.256", None),
    ],
)
def test_address_has_one_spelling(stated: str, address: str | None) -> None:
    found = sshd(f"Failed password for root from {stated} port 4000 ssh2").fields

    assert (found.get("src_ip"), found["outcome"]) == (address, "failure")


@pytest.mark.parametrize(
    "message",
    [
        "Failed password for root from 192.0.2.1",
        "Failed password for root",
        "Failed to release session: Interrupted system call",
        "Accepted",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
        "error: maximum authentication attempts exceeded for root from 192.0.2.1 port 1 ssh2 [preauth]",
    ],
)
def test_only_an_answer_has_an_outcome(message: str) -> None:
    assert "outcome" not in sshd(message).fields


def test_entities_are_the_user_the_address_and_the_host() -> None:
    found = sshd("Failed password for root from 192.0.2.1 port 4000 ssh2")

    assert found.entities == {"host": ["web01"], "ip": ["192.0.2.1"], "user": ["root"]}


@pytest.mark.parametrize("piece", [" from ", " port ", " from 1 port 1 ssh2", " for ", "PAM: a for ", "[", "a"])
@pytest.mark.parametrize(
    "start", ["Failed password for ", "Accepted x for ", "PAM: ", "Connection closed by user ", ""]
)
def test_hostile_line_of_64_kb_is_read_in_linear_time(start: str, piece: str) -> None:
    found = sshd(start + piece * (65_000 // len(piece)) + "!")  # a quadratic form would meet the timeout of the suite

    assert "outcome" not in found.fields
