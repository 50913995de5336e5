"""What a user types at sudo cannot hide what sudo ran, nor make a refusal a success."""

from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import event

words = st.lists(
    st.sampled_from(
        [" ; ", "COMMAND=", "USER=root", "TTY=pts/9", "PWD=/", " : ", "NOT in sudoers", "=", ";", "/bin/sh"]
    )
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"]), max_size=8),
    max_size=8,
).map(lambda parts: "".join(parts).strip())  # blanks at the end of a line are not kept


def fields(message: str) -> dict[str, object]:
    return event(f"Nov 23 10:00:02 web01 sudo:    alice {message}").fields


@settings(max_examples=200, deadline=None)
@given(command=words)
def test_command_is_read_back_whole(command: str) -> None:
    found = fields(f": TTY=pts/0 ; PWD=/srv ; USER=bob ; COMMAND=/bin/{command}")

    assert found["command"] == f"/bin/{command}"
    assert (found["user"], found["target_user"], found["outcome"]) == ("alice", "bob", "success")


@settings(max_examples=200, deadline=None)
@given(folder=words, command=words)
def test_refusal_stays_a_refusal_and_its_command_visible(folder: str, command: str) -> None:
    found = fields(f": user NOT in sudoers ; TTY=pts/0 ; PWD=/{folder} ; USER=root ; COMMAND=/bin/{command}")

    assert (found["user"], found["outcome"]) == ("alice", "failure")
    assert str(found["command"]).endswith(f"/bin/{command}")


def test_line_of_sudo_that_is_no_request_has_no_outcome() -> None:
    found = fields(": (command continued) --more")

    assert "outcome" not in found
    assert "command" not in found
