"""The units for systemd: hardened as promised, valid, and wide enough for what the daemon does."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from control_kit import logged, socmon, to_centre, to_file
from field import field_in, wait_for
from sandbox import allowed_calls, options
from store_kit import valid

from socmon import cli
from socmon.capture.told import SOCKET
from socmon.cli import main
from socmon.cli.unit import _UNITS, _quoted
from socmon.resources import shipped

FOLDER = shipped("systemd")
SERVICE = FOLDER / "socmon.service"
CAPTURE = FOLDER / "socmon-capture.service"
SANDBOX = Path(__file__).with_name("sandbox.py")

analyzed = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def has_seccomp() -> bool:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return shutil.which("systemd-analyze") is not None


def unit(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "LC_ALL": "C"}).invoke(main, ["unit", *args])


@analyzed
@pytest.mark.parametrize("service", [SERVICE, CAPTURE], ids=lambda path: path.stem)
def test_a_service_is_exposed_less_than_two_of_ten(service: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(service)]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout[-1000:] + result.stderr


@analyzed
def test_systemd_finds_no_fault_in_the_units_with_our_paths(tmp_path: Path) -> None:
    config = tmp_path / 'a 100% "config".yaml'
    config.write_text("state_dir: state\n")
    assert unit("-c", str(config), "--install", str(tmp_path)).exit_code == 0

    names = [str(tmp_path / name) for name in ("socmon.service", "socmon-capture.service", "socmon.socket")]
    command = ["systemd-analyze", "verify", "--man=no", "--generators=no", *names]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    ours = [line for line in result.stderr.splitlines() if "socmon" in line]
    assert (result.returncode, ours) == (0, []), result.stderr


@analyzed
def test_users_and_folders_are_made_as_written(tmp_path: Path) -> None:
    for tool, name in (("systemd-sysusers", "socmon.sysusers"), ("systemd-tmpfiles", "socmon.tmpfiles")):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
        action = ["--dry-run"] if tool == "systemd-sysusers" else ["--cat-config"]
        result = subprocess.run(
            [tool, f"--root={tmp_path}", *action, str(FOLDER / name)], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


def test_the_service_is_what_the_documentation_says() -> None:
    given = dict(options(SERVICE))

    assert (given["Type"], given["NotifyAccess"], given["Restart"]) == ("notify", "main", "on-failure")
    assert given["RestartPreventExitStatus"] == f"{cli.NO_PRIVILEGE} {cli.BAD_CONFIG}"
    assert given["StateDirectory"] == "socmon"
    assert float(given["WatchdogSec"]) >= 30
    assert given["RuntimeDirectory"] == SOCKET.parent.name
    assert "ProcSubset" not in given  # /proc/net/udp


def test_the_capture_service_has_one_right_and_is_another_user() -> None:
    given = dict(options(CAPTURE))

    assert given["AmbientCapabilities"] == given["CapabilityBoundingSet"] == "CAP_NET_RAW"
    assert (given["User"], given["Group"]) == ("socmon-capture", dict(options(SERVICE))["Group"])
    assert given["RestartPreventExitStatus"] == f"{cli.USAGE} {cli.NO_PRIVILEGE}"


@pytest.mark.skipif(not has_seccomp(), reason="libseccomp or systemd-analyze is not installed")
@pytest.mark.timeout(180)
def test_the_daemon_does_its_work_within_what_the_service_may_do(tmp_path: Path) -> None:
    assert "ptrace" not in allowed_calls(SERVICE)
    assert {"openat", "epoll_wait", "inotify_add_watch"} <= allowed_calls(SERVICE)
    with field_in(tmp_path / "province") as place:
        place.start_centre()
        place.configure(["auth"])
        forwarders = {"ncsc": to_centre(place), "out": to_file(place.root / "out.ndjson")}
        place.configure(["auth"], tcp=["network"], forwarders=forwarders)
        place.write("auth", 0, 120)
        place.start_daemon(wrapper=[sys.executable, str(SANDBOX), str(SERVICE)])
        wait_for(lambda: (place.state / "socmon.db").exists() and place.settled(), "alerts delivered over TLS")

        tested = socmon(place, "alerts", "test")
        reloaded = socmon(place, "config", "reload")
        url = next(line["http"] for line in logged(place) if line["event"] == "started")
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            assert b"process_open_fds" in answer.read()
        assert place.daemon is not None
        status = Path(f"/proc/{place.daemon.pid}/status").read_text()
        place.stop_daemon()

    assert "Seccomp_filters:\t2\n" in status
    assert (tested.returncode, reloaded.returncode) == (0, 0), tested.stderr + reloaded.stderr
    assert not [line for line in logged(place) if line["level"] in ("warning", "error")]


@pytest.mark.skipif(not has_seccomp(), reason="libseccomp or systemd-analyze is not installed")
def test_socmon_capture_opens_a_ring_and_gives_up_its_rights_within_what_its_service_may_do() -> None:
    if os.geteuid():
        pytest.skip("only root can open an interface")
    script = (  # as a user that is not root, which the service is
        "import os; os.geteuid = lambda: 1\n"
        "from socmon.capture import bpf, privileges\n"
        "from socmon.capture.ring import Ring\n"
        "from socmon.network import rare\n"
        "ring = Ring('lo', compiled=lambda link: bpf.compiled('udp port 53', link), buffer_mib=1)\n"
        "privileges.drop('')\n"
        "assert rare.prepare() and not ring.failed() and ring.read(1) == []"
    )
    command = [sys.executable, str(SANDBOX), str(CAPTURE), sys.executable, "-c", script]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not has_seccomp(), reason="libseccomp or systemd-analyze is not installed")
def test_what_the_service_may_not_do_would_be_seen() -> None:
    def ends(script: str) -> int:
        command = [sys.executable, str(SANDBOX), str(SERVICE), sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    assert ends("import os; os.getpid()") == 0
    assert ends("import os; os.chroot('/')") == -31  # SIGSYS
    assert ends("import socket; socket.socket(socket.AF_ALG)") == 1


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_unit_is_printed_with_the_paths_of_this_installation(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"

    result = unit("socmon.service", "-c", str(config))

    ours = Path(sys.executable).with_name("socmon")
    assert result.exit_code == 0
    assert f"\nExecStart={ours} -c {config} run\n" in result.stdout
    assert "/opt/socmon" not in result.stdout
    assert "/etc/socmon/config.yaml" not in result.stdout


def test_units_are_listed_for_programs() -> None:
    told = valid(json.loads(unit("-o", "json").stdout), "unit.v1")

    assert [each["name"] for each in told["units"]] == [*_UNITS] == sorted(path.name for path in FOLDER.iterdir())
    rows = [valid(json.loads(line), "unit.v1", row=True) for line in unit("-o", "ndjson").stdout.splitlines()]
    assert rows == told["units"]


def test_what_lies_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    folder, other = tmp_path / "units", tmp_path / "other"
    folder.mkdir()
    other.write_text("another's")
    (folder / ".socmon.socket.part").symlink_to(other)
    assert unit("socmon.socket", "--install", str(folder)).exit_code == 0
    (folder / "socmon.service").symlink_to(tmp_path / "nowhere")

    refused = unit("socmon.service", "--install", str(folder))

    assert other.read_text() == "another's"
    assert (folder / "socmon.socket").stat().st_mode & 0o777 == 0o644
    assert not (folder / "socmon.socket").is_symlink()
    assert (refused.exit_code, "would be overwritten" in refused.stderr) == (1, True)
    assert (folder / "socmon.service").is_symlink()


@pytest.mark.parametrize("name", ["a\nExecStartPre=/bin/false", "a\udcff", "a\u202e"])
def test_a_path_that_a_unit_cannot_hold_is_refused(name: str) -> None:
    result = unit("socmon.service", "-c", f"/etc/{name}.yaml")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "a unit cannot name" in result.stderr


def test_units_are_written_once_and_overwritten_when_that_is_meant(tmp_path: Path) -> None:
    there = tmp_path / "socmon.socket"
    there.write_text("mine")

    refused = unit("--install", str(tmp_path))
    dry = unit("--install", str(tmp_path), "--force", "--dry-run")
    assert [path.name for path in tmp_path.iterdir()] == ["socmon.socket"]
    assert there.read_text() == "mine"
    done = unit("--install", str(tmp_path), "--force")

    assert (refused.exit_code, dry.exit_code, done.exit_code) == (1, 0, 0)
    assert "socmon.socket would be overwritten in" in refused.stderr
    assert dry.stdout.startswith(f"would write {tmp_path}/socmon-capture.service\n")
    assert done.stdout.splitlines() == [f"wrote {tmp_path}/{name}" for name in _UNITS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(_UNITS)
    assert there.read_text() == (FOLDER / "socmon.socket").read_text()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["socmon.timer"], 2, "is not one of"),
        (["--force"], 2, "go with --install"),
        (["--install", "/nowhere"], 5, "there is no folder /nowhere; make it, or name another one"),
    ],
)
def test_what_cannot_be_shown_or_written_is_told(args: list[str], code: int, said: str) -> None:
    result = unit(*args)

    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.parametrize(
    ("path", "quoted"), [("/a/b", "/a/b"), ("/a b", '"/a b"'), ("/100%", '"/100%%"'), ('/"', '"/\\""'), ("/'", '"/\'"')]
)
def test_a_path_is_one_word_to_systemd(path: str, quoted: str) -> None:
    assert _quoted(path) == quoted
