"""edgecam-server.service as it is installed, under Debian 13's systemd."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.machines.container import Container, container
from tests.machines.package import installed
from tests.machines.units import Unit, http

SERVER = "http://127.0.0.1:8080"
TOKEN = "a-token-of-this-test-only"

# The first to ask has the tree unpacked and the packages built.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def machine() -> Iterator[Container]:
    with container(installed()) as booted:
        booted.sh("systemctl stop edgecam edgecam-server")
        yield booted


@pytest.fixture
def server(machine: Container) -> Iterator[Unit]:
    """Running, on every address, so that it needs a token."""
    unit = Unit(machine, "edgecam-server.service")
    machine.write("/etc/edgecam/edgecam.toml", '[server]\nlisten = ":8080"\n')
    unit.drop_in("[Service]\nRestartSec=100ms\nRestartSteps=0\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    unit.systemctl("start")
    yield unit
    machine.sh("systemctl stop edgecam-server.socket edgecam-server.service && systemctl reset-failed 'edgecam*'")
    machine.sh("rm -rf /etc/credstore*/*")
    unit.without_drop_ins()


def generated_token(machine: Container) -> str:
    return machine.sh("cat /var/lib/edgecam-server/server-token")


def bearer(token: str) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {token}"


def test_started_means_that_it_listens_and_its_status_is_told(server: Unit, machine: Container) -> None:
    assert server.show("ActiveState", "StatusText") == {"ActiveState": "active", "StatusText": "cameras online: 0, viewers: 0"}
    assert http(machine, f"{SERVER}/healthz")[0] == 200
    assert http(machine, f"{SERVER}/status")[0] == 401
    code, body = http(machine, f"{SERVER}/status", *bearer(generated_token(machine)))
    assert (code, json.loads(body)["cameras_online"]) == (200, 0)
    assert server.seconds_to_ready < 10.0


def test_reload_reads_keys_and_revocations_again_and_keeps_the_process(server: Unit, machine: Container) -> None:
    pid = server.pid
    invite = "edgecam invite --config /etc/edgecam/edgecam.toml --url http://127.0.0.1:8080 --set state_dir=/var/lib/edgecam-server"
    token = machine.sh(f"{invite} --role admin --token-only")
    server.systemctl("reload")
    assert http(machine, f"{SERVER}/status", *bearer(token))[0] == 200
    (listed,) = [line for line in machine.sh(f"{invite} --list").splitlines() if "admin" in line]
    machine.sh(f"{invite} --revoke {listed.split()[0]}")
    server.systemctl("reload")
    assert http(machine, f"{SERVER}/status", *bearer(token))[0] == 401
    assert (server.pid, server.restarts, server.get("ActiveState")) == (pid, 0, "active")
    assert len(server.entries("EDGECAM_EVENT=server.reloaded", f"_PID={pid}")) == 2


def test_a_frozen_or_killed_server_comes_back(server: Unit, machine: Container) -> None:
    frozen = server.pid
    machine.sh(f"kill -STOP {frozen}")
    server.wait_active_again(frozen, within=20)
    killed = server.pid
    machine.sh(f"kill -KILL {killed}")
    server.wait_active_again(killed, within=20)
    assert server.restarts == 2
    assert http(machine, f"{SERVER}/healthz")[0] == 200


def test_a_wrong_configuration_ends_it_for_good(server: Unit, machine: Container) -> None:
    server.systemctl("stop")
    machine.write("/etc/edgecam/edgecam.toml", "[server]\nlisten = 8080\n")
    assert machine.run("systemctl", "start", "edgecam-server").code != 0
    assert server.show("SubState", "ExecMainStatus", "NRestarts") == {"SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}


def test_stopping_is_quick_and_leaves_nothing(server: Unit, machine: Container) -> None:
    begun = time.monotonic()
    server.systemctl("stop")
    assert time.monotonic() - begun < 5
    assert server.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert machine.run("pgrep", "-u", "edgecam-server").out == ""


def test_it_reads_a_configuration_that_only_the_group_may_read_and_a_secret_that_only_root_may(server: Unit, machine: Container) -> None:
    machine.sh("chgrp edgecam /etc/edgecam/edgecam.toml && chmod 640 /etc/edgecam/edgecam.toml")
    machine.write("/etc/credstore/edgecam-server.server.token", TOKEN, mode="0600")
    server.systemctl("restart")
    assert http(machine, f"{SERVER}/status", *bearer(TOKEN))[0] == 200
    assert TOKEN not in server.journal()


def test_a_connection_made_before_it_runs_is_answered(server: Unit, machine: Container) -> None:
    server.systemctl("stop")
    Unit(machine, "edgecam-server.socket").systemctl("start")
    assert http(machine, f"{SERVER}/healthz")[0] == 200
    server.wait("ActiveState", "active")
    # What was passed is this machine's alone, whatever the configuration says: nobody is asked for a token.
    assert http(machine, f"{SERVER}/status")[0] == 200
