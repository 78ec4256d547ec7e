"""edgecam.service as it is installed, under Debian 13's systemd."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.fakes.v4l2 import build_fake_v4l2
from tests.harness.waiting import until
from tests.machines.cache import ROOT
from tests.machines.container import Container, container
from tests.machines.package import installed
from tests.machines.units import Unit, http

WEB = "http://127.0.0.1:8088"
CAMERA = '[camera.front]\nsource = "test"\nquality = "low"\n'
TOKEN = "a-token-of-this-test-only"
LOOSEST_EXPOSURE = 1.5

# The first to ask has the tree unpacked and the packages built.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def machine() -> Iterator[Container]:
    with container(installed()) as booted:
        booted.sh("systemctl stop edgecam edgecam-server")
        yield booted


@pytest.fixture
def daemon(machine: Container) -> Iterator[Unit]:
    """Running, with one camera that captures all the time. What a test puts into the machine is gone after it."""
    unit = Unit(machine, "edgecam.service")
    machine.write("/etc/edgecam/edgecam.toml", CAMERA)
    # Tests wait for restarts; how systemd's waits grow, one test looks at.
    unit.drop_in("[Service]\nRestartSec=100ms\nRestartSteps=0\n")
    unit.systemctl("start")
    yield unit
    machine.sh("systemctl stop edgecam.socket edgecam.service && systemctl reset-failed 'edgecam*' && rm -rf /etc/credstore*/*")
    unit.without_drop_ins()
    Unit(machine, "edgecam.socket").without_drop_ins()


def status(machine: Container, *options: str) -> dict[str, object]:
    code, body = http(machine, f"{WEB}/api/v1/status", *options)
    assert code == 200, body
    found: dict[str, object] = json.loads(body)
    return found


def capture_process(daemon: Unit) -> int:
    return until(lambda: next(iter(daemon.children()), None), within=10, what="a capture process", explain=daemon.journal)


def test_started_means_ready_and_systemd_http_and_the_journal_say_the_same(daemon: Unit, machine: Container) -> None:
    shown = daemon.show("ActiveState", "StatusText", "NRestarts")
    assert shown == {"ActiveState": "active", "StatusText": "all components running", "NRestarts": "0"}
    assert http(machine, f"{WEB}/readyz")[0] == 200
    assert status(machine)["summary"] == shown["StatusText"]
    (entry,) = [each for each in daemon.entries("EDGECAM_EVENT=daemon.ready") if each["_PID"] == str(daemon.pid)]
    assert entry["EDGECAM_SUMMARY"] == shown["StatusText"]
    assert daemon.seconds_to_ready < 10.0  # `make bench` measures it where nothing else runs


def test_inside_the_sandbox_the_machine_can_be_measured(daemon: Unit, machine: Container) -> None:
    governor = status(machine)["governor"]
    assert isinstance(governor, dict)
    assert governor["memory"]["available_bytes"] > 0
    code, metrics = http(machine, f"{WEB}/metrics")
    assert code == 200
    assert re.search(r"(?m)^process_start_time_seconds \d", metrics)
    assert "black box" not in daemon.get("StatusText")
    assert machine.sh("ls -A /run/edgecam") != ""


def test_a_declared_wait_keeps_nobody_waiting_and_is_said(daemon: Unit, machine: Container) -> None:
    machine.write("/run/private", "")
    private = CAMERA.replace("front", "lab") + 'privacy_file = "/run/private"\n'
    closed = CAMERA.replace("front", "hall") + 'capture = "on-demand"\n'
    gone = '[camera.yard]\ndevice = "/dev/video7"\n[signaling.home]\nurl = "ws://127.0.0.1:1/ws"\n'
    machine.write("/etc/edgecam/edgecam.toml", "".join((CAMERA, private, closed, gone)))
    daemon.systemctl("restart")
    # Each camera has a connection of its own.
    assert re.findall(r"\[([a-z-]+)\]", daemon.get("StatusText")) == ["camera-absent", *["signaling-unreachable"] * 4]
    cameras = status(machine)["cameras"]
    assert isinstance(cameras, list)
    told = {"front": "", "lab": "private", "hall": "on-demand", "yard": "camera-absent"}
    assert {each["name"]: each["code"] for each in cameras} == told
    assert http(machine, f"{WEB}/readyz")[0] == 503
    assert [each["EDGECAM_CODE"] for each in daemon.entries("EDGECAM_CAMERA=yard", "EDGECAM_STATE=waiting")] == ["camera-absent"]


def test_systemd_finds_nothing_wrong_with_the_units_and_the_sandbox_tight(machine: Container) -> None:
    units = [f"edgecam{kind}" for kind in (".service", ".socket", "@yard.service", "-server.service", "-server.socket")]
    assert machine.run("systemd-analyze", "verify", "--man=no", *units).err == ""
    for unit in ("edgecam.service", "edgecam@yard.service", "edgecam-server.service"):
        said = machine.sh(f"systemd-analyze security --no-pager {unit}")
        exposure = re.search(rf"Overall exposure level for {re.escape(unit)}: ([0-9.]+)", said)
        assert exposure is not None, said
        assert float(exposure[1]) <= LOOSEST_EXPOSURE, said


def test_the_process_has_its_user_and_its_devices_groups_and_no_other_power(daemon: Unit, machine: Container) -> None:
    said = dict(line.split(":\t", 1) for line in machine.sh(f"cat /proc/{daemon.pid}/status").splitlines() if ":\t" in line)
    assert set(said["Uid"].split()) == {machine.sh("id -u edgecam")}
    wanted = {machine.sh(f"getent group {name} | cut -d: -f3") for name in ("edgecam", "video", "render", "audio", "gpio")}
    assert set(said["Groups"].split()) == wanted
    assert said["NoNewPrivs"] == "1"
    assert said["Seccomp"] == "2"
    assert {int(said[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    assert machine.sh(f"nsenter -t {daemon.pid} -m sh -c 'touch /etc/x /usr/x /home/x 2>&1 || true'").count("Read-only") == 3


def test_reload_applies_the_configuration_and_keeps_the_process(daemon: Unit, machine: Container) -> None:
    pid = daemon.pid
    machine.write("/etc/edgecam/edgecam.toml", CAMERA + '[camera.yard]\nsource = "test"\nquality = "low"\n')
    daemon.systemctl("reload")
    cameras = status(machine)["cameras"]
    assert isinstance(cameras, dict | list)
    assert "yard" in json.dumps(cameras)
    assert (daemon.pid, daemon.restarts, daemon.get("ActiveState")) == (pid, 0, "active")


def test_a_frozen_daemon_is_replaced_in_the_watchdogs_time(daemon: Unit, machine: Container) -> None:
    daemon.drop_in("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n", "watchdog")
    daemon.systemctl("restart")
    frozen, child = daemon.pid, capture_process(daemon)
    begun = time.monotonic()
    machine.sh(f"kill -STOP {frozen}")
    daemon.wait_active_again(frozen, within=20)
    assert time.monotonic() - begun < 2 + 1 + 6  # the watchdog, the end, and a start on a machine that is busy
    assert daemon.restarts == 1
    assert machine.run("kill", "-0", str(child)).code != 0, "a capture process outlived its daemon"
    assert http(machine, f"{WEB}/readyz")[0] == 200


def test_a_daemon_that_is_killed_again_and_again_comes_back_each_time_a_little_later(daemon: Unit, machine: Container) -> None:
    daemon.without_drop_ins()  # the packaged unit's waits
    daemon.systemctl("restart")
    waits = []
    for kills in range(1, 3):
        before = daemon.pid
        machine.sh(f"kill -KILL {before}")
        daemon.wait_active_again(before, within=20)
        assert daemon.restarts == kills
        assert http(machine, f"{WEB}/readyz")[0] == 200
        waits.append(daemon.get("RestartUSecNext"))
    assert waits == ["1.529819s", "2.340347s"]  # 30 to the power of 1/8 and of 2/8


def test_a_capture_process_that_was_killed_is_replaced_and_the_daemon_stays(daemon: Unit, machine: Container) -> None:
    main, child = daemon.pid, capture_process(daemon)
    machine.sh(f"kill -KILL {child}")
    until(lambda: set(daemon.children()) - {child}, within=5, what="another capture process", explain=daemon.journal)
    until(lambda: http(machine, f"{WEB}/readyz")[0] == 200, within=5, what="ready again", explain=daemon.journal)
    assert (daemon.pid, daemon.restarts) == (main, 0)


def test_a_capture_process_is_sacrificed_before_the_daemon(daemon: Unit, machine: Container) -> None:
    child = capture_process(daemon)
    main, capturing = (int(machine.sh(f"cat /proc/{pid}/oom_score_adj")) for pid in (daemon.pid, child))
    assert main <= 0 < capturing  # systemd cannot lower the daemon's in every container


def test_a_camera_that_gives_nothing_has_the_daemon_started_anew_then_the_machine_and_then_patience_is_left(
    daemon: Unit, machine: Container
) -> None:
    library = build_fake_v4l2(ROOT / ".cache" / "fakes").read_bytes()
    machine.run("/bin/sh", "-c", "base64 -d >/opt/fakev4l2.so", stdin=base64.b64encode(library).decode())
    machine.sh("rm -rf /var/lib/edgecam/*")  # what other tests had it remember
    device = "/var/lib/edgecam/video0"  # a file that the sandbox opens for writing
    machine.write(device, "eio", mode="0666")
    broken = f'[camera.front]\nsource = "v4l2"\ndevice = "{device}"\n[health]\nexit_after = 1\nexits = 1\nreboot = true\n'
    machine.write("/etc/edgecam/edgecam.toml", broken)
    (line,) = re.findall(r"(?m)^ExecStopPost=.*$", (ROOT / "docs/health.md").read_text())
    instead = line.replace("exec systemctl --no-block reboot", "echo asked >>/run/reboot")
    assert instead != line
    daemon.drop_in(f"[Service]\nEnvironment=LD_PRELOAD=/opt/fakev4l2.so FAKE_V4L2={device}\n{instead}\n", "broken")
    daemon.systemctl("restart")
    until(lambda: "reopened for ever" in http(machine, f"{WEB}/api/v1/status")[1], within=40, what="patience", explain=daemon.journal)
    assert daemon.restarts == 2
    assert machine.sh("cat /run/reboot") == "asked"
    deaths = json.loads(http(machine, f"{WEB}/api/v1/blackbox/deaths")[1])
    assert [name.partition("-")[2] for name in deaths[:2]] == ["camera-exhausted.jsonl.gz"] * 2
    machine.write(device, "ok", mode="0666")
    until(lambda: http(machine, f"{WEB}/readyz")[0] == 200, within=20, what="pictures", explain=daemon.journal)


def test_a_wrong_configuration_ends_it_for_good_with_a_line_that_says_where(daemon: Unit, machine: Container) -> None:
    daemon.systemctl("stop")
    machine.write("/etc/edgecam/edgecam.toml", '[camera.front]\nsauce = "test"\n')
    assert machine.run("systemctl", "start", "edgecam").code != 0
    shown = daemon.show("ActiveState", "SubState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert "/etc/edgecam/edgecam.toml:2" in daemon.journal()


def test_stopping_takes_less_than_five_seconds_and_leaves_nothing(daemon: Unit, machine: Container) -> None:
    capture_process(daemon)
    begun = time.monotonic()
    daemon.systemctl("stop")
    assert time.monotonic() - begun < 5
    assert daemon.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert daemon.processes() == []
    assert machine.run("pgrep", "-u", "edgecam").out == ""


def test_secrets_come_from_the_credential_stores_plain_and_encrypted(daemon: Unit, machine: Container) -> None:
    # The rights to start with: a listener that is only this machine's asks nobody for a token.
    assert http(machine, f"{WEB}/api/v1/status")[0] == 200
    machine.write("/etc/credstore/edgecam.web.token", f"{TOKEN}\n", mode="0600")
    daemon.systemctl("restart")
    assert http(machine, f"{WEB}/api/v1/status")[0] == 401
    status(machine, "-H", f"Authorization: Bearer {TOKEN}")

    # With the machine's own key (a TPM's where there is one): of use to nobody who copies the card.
    sealed = "systemd-creds encrypt --with-key=host --name=edgecam.web.token - /etc/credstore.encrypted/edgecam.web.token"
    machine.sh(f"rm /etc/credstore/* && printf %s sealed-{TOKEN} | {sealed}")
    assert TOKEN not in machine.sh("cat /etc/credstore.encrypted/*")
    daemon.systemctl("restart")
    status(machine, "-H", f"Authorization: Bearer sealed-{TOKEN}")
    machine.sh("rm /etc/credstore.encrypted/*")

    inline = machine.sh(f"printf %s inline-{TOKEN} | systemd-creds encrypt --with-key=host --pretty --name=web.token - -")
    daemon.drop_in(f"[Service]\n{inline}\n", "credential")
    daemon.systemctl("restart")
    status(machine, "-H", f"Authorization: Bearer inline-{TOKEN}")

    machine.write("/root/token", f"loaded-{TOKEN}", mode="0600")
    machine.sh("systemd-creds encrypt --with-key=host --name=web.token /root/token /root/token.sealed")
    for line in ("LoadCredential=web.token:/root/token", "LoadCredentialEncrypted=web.token:/root/token.sealed"):
        daemon.drop_in(f"[Service]\n{line}\n", "credential")
        daemon.systemctl("restart")
        status(machine, "-H", f"Authorization: Bearer loaded-{TOKEN}")
    assert TOKEN not in daemon.journal()


def test_a_connection_made_before_the_daemon_runs_is_answered_and_none_is_refused_while_it_restarts(
    daemon: Unit, machine: Container
) -> None:
    daemon.systemctl("stop")
    Unit(machine, "edgecam.socket").systemctl("start")
    assert daemon.get("ActiveState") == "inactive"
    assert http(machine, f"{WEB}/healthz")[0] == 200  # this one starts it
    daemon.wait("ActiveState", "active")
    machine.sh("systemctl restart --no-block edgecam")
    until(lambda: daemon.get("ActiveState") != "active", within=10, what="the daemon is on its way down")
    assert http(machine, f"{WEB}/healthz")[0] == 200
    (entry,) = daemon.entries("EDGECAM_EVENT=listener.opened", f"_PID={daemon.pid}")
    assert (entry["EDGECAM_PASSED"], entry["EDGECAM_ADDRESS"]) == ("true", "127.0.0.1:8088")


def test_a_passed_socket_that_the_network_reaches_asks_for_a_token_whatever_the_configuration_says(
    daemon: Unit, machine: Container
) -> None:
    daemon.systemctl("stop")
    sock = Unit(machine, "edgecam.socket")
    sock.drop_in("[Socket]\nListenStream=80\n")
    sock.systemctl("start")
    for url in (WEB, "http://127.0.0.1"):
        assert http(machine, f"{url}/api/v1/status")[0] == 401
        assert http(machine, f"{url}/healthz")[0] == 200
    token = machine.sh("cat /var/lib/edgecam/web-token")
    status(machine, "-H", f"Authorization: Bearer {token}")


def test_visitors_do_not_have_a_daemon_with_a_wrong_configuration_started_for_ever(daemon: Unit, machine: Container) -> None:
    daemon.systemctl("stop")
    machine.write("/etc/edgecam/edgecam.toml", '[camera.front]\nsauce = "test"\n')
    sock = Unit(machine, "edgecam.socket")
    sock.systemctl("start")
    begun = len(daemon.entries("JOB_TYPE=start", "JOB_RESULT=failed"))
    assert http(machine, f"{WEB}/healthz")[0] == 0
    sock.wait("Result", "trigger-limit-hit")
    assert len(daemon.entries("JOB_TYPE=start", "JOB_RESULT=failed")) - begun == 5
    machine.write("/etc/edgecam/edgecam.toml", CAMERA)
    daemon.systemctl("start")  # as somebody does who has mended it
    assert http(machine, f"{WEB}/healthz")[0] == 200


def test_journalctl_finds_what_concerns_one_camera(daemon: Unit) -> None:
    found = daemon.entries("EDGECAM_CAMERA=front", f"_PID={daemon.pid}")
    assert {entry["_SYSTEMD_UNIT"] for entry in found} == {"edgecam.service"}
    assert any(entry["EDGECAM_EVENT"] == "component.state" for entry in found)
    assert all("CODE_FILE" in entry and "CODE_LINE" in entry for entry in found)
    assert len(daemon.entries("MESSAGE_ID=eefd9c04704b4d92aa929f0656ea80d6", f"_PID={daemon.pid}")) == 1


def test_a_second_daemon_has_its_own_configuration_state_and_secrets(daemon: Unit, machine: Container) -> None:
    machine.write("/etc/edgecam/edgecam@yard.toml", CAMERA.replace("front", "yard") + '[web]\nlisten = "127.0.0.1:8188"\n')
    machine.write("/etc/credstore/edgecam@yard.web.token", TOKEN, mode="0600")
    yard = Unit(machine, "edgecam@yard.service")
    yard.systemctl("start")
    try:
        assert "yard" in http(machine, "http://127.0.0.1:8188/api/v1/status", "-H", f"Authorization: Bearer {TOKEN}")[1]
        assert http(machine, f"{WEB}/readyz")[0] == 200
        assert machine.sh("stat -c '%U %a' /var/lib/edgecam@yard") == "edgecam 700"
    finally:
        yard.systemctl("stop")
