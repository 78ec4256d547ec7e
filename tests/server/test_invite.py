"""`edgecam invite` and `edgecam server` as two processes that share a state directory, as on a real machine."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.daemons import Server
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("invite")
    section = {"public_url": "https://cams.example", "audit_file": str(directory / "audit.jsonl")}
    with Server({"server": section}, directory / "server") as running:
        yield running
        running.assert_quiet()


def invite(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_edgecam("invite", "--config", server.file, *arguments, state_dir=server.state_dir)


def signed(server: Server, *arguments: str) -> str:
    done = invite(server, *arguments, "--token-only")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(server: Server, path: str, token: str) -> int:
    return server.get(path, Authorization=f"Bearer {token}").status


def test_a_server_behind_a_proxy_asks_for_a_token_though_it_listens_on_loopback(server: Server) -> None:
    assert server.get("/").status == 401
    assert "server-token" in "\n".join(server.printed)


def test_an_invite_opens_what_it_says_and_its_link_leads_to_the_public_address(server: Server) -> None:
    done = invite(server, "--camera", "front", "--name", "Anna")
    link = done.stdout.splitlines()[0]
    assert link.startswith("https://cams.example/view/front?token=")
    assert "viewer of front for Anna, until" in done.stdout
    parts = urlsplit(link)
    reply = server.get(f"{parts.path}?{parts.query}", Host="cams.example")
    assert (reply.status, reply.headers["location"]) == (303, "/view/front")
    # At the TLS proxy the page is https; said so, the cookie is for that only.
    reply = server.get(f"{parts.path}?{parts.query}", **{"Host": "cams.example", "X-Forwarded-Proto": "https"})
    assert "secure" in reply.headers["set-cookie"].lower()


def test_the_roles_open_what_they_should(server: Server) -> None:
    assert status(server, "/status", signed(server, "--role", "admin")) == 200
    assert status(server, "/status", signed(server)) == 403
    camera = invite(server, "--role", "camera", "--camera", "yard").stdout
    assert 'url = "wss://cams.example/ws"' in camera
    assert 'cameras = ["yard"]' in camera
    assert camera.startswith("https://cams.example/send?camera=yard&token=")


def test_revoking_and_a_new_key_reach_the_running_server(server: Server) -> None:
    doomed, lasting = signed(server, "--name", "Eve"), signed(server)
    assert status(server, "/", doomed) == 200
    listed = invite(server, "--list").stdout.splitlines()
    (line,) = [line for line in listed if line.endswith("Eve")]
    done = invite(server, "--revoke", line.split()[0])
    assert (done.returncode, "Eve" in done.stdout) == (0, True)
    server.signal(signal.SIGHUP)
    until(lambda: status(server, "/", doomed) == 401, within=10, what="the token revoked")
    assert status(server, "/", lasting) == 200
    assert invite(server, "--new-key").returncode == 0
    assert status(server, "/", signed(server)) == 200  # at once
    assert status(server, "/", lasting) == 200
    (line,) = [line for line in invite(server, "--list").stdout.splitlines() if line.endswith("Eve")]
    assert "revoked" in line


def test_the_audit_file_tells_who_was_refused_and_holds_no_token(server: Server) -> None:
    token = signed(server)
    status(server, "/status", token)
    status(server, "/", "x" + token)
    text = (server.state_dir.parent / "audit.jsonl").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert {entry["code"] for entry in entries if entry["event"] == "refused"} >= {"forbidden", "token-wrong"}
    assert token not in text
    assert token not in "\n".join(server.lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--role", "camera"], "add --camera NAME"),
        (["--for", "soon"], "write for example 90m"),
        (["--camera", "a/b"], "names are letters"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(server: Server, arguments: list[str], says: str) -> None:
    done = invite(server, *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_for_this_machine_only_needs_no_invites(tmp_path: Path) -> None:
    done = run_edgecam("invite", state_dir=tmp_path)
    assert done.returncode == 1
    assert "asks nobody for a token; set [server] public_url" in done.stderr
    assert not list(tmp_path.rglob("server-*"))
