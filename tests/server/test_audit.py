"""The audit log: what it tells, what it does not, and how large it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgecam.http.rights import Rights
from edgecam.server.audit import AuditFile, AuditLog
from tests.server.scene import Town, play
from tests.server.test_access import KEYS, bearer
from tests.server.test_limits import PROXIED, refused, via

ANNA = "anna-" + "a" * 16


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_who_came_from_where_with_which_token_to_which_camera_and_who_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    shown: list[str] = []

    async def script(town: Town) -> None:
        sender = bearer("camera", "front", token_id="c0ffee")
        watcher = bearer("viewer", "front", token_id="beef")
        shown.extend(value.split()[1] for value in (*sender.values(), *watcher.values()))
        camera = await town.connect(**sender, **via("192.0.2.1"))
        await camera.register("sender", cameraId="front", instanceId="secret-instance-id")
        viewer = await town.connect(**watcher, **via("2001:db8::7"))
        await viewer.register("receiver", cameraId="yard", peerId=ANNA)
        await viewer.register("receiver", cameraId="front", peerId=ANNA)
        await viewer.ws.close()
        while (await camera.next())["type"] != "peer-disconnected":
            pass
        assert (await refused(town, "192.0.2.9")).status == 401

    play(script, token="sesame-and-more", audit_file=path, **KEYS, **PROXIED)
    entries = lines(path)
    told = [(each["event"], each["remote"], each.get("grant"), each.get("camera")) for each in entries]
    assert told == [
        ("connected", "192.0.2.1", "c0ffee", None),
        ("camera-registered", "192.0.2.1", "c0ffee", "front"),
        ("connected", "2001:db8::7", "beef", None),
        ("refused", "2001:db8::7", "beef", None),
        ("viewer-joined", "2001:db8::7", "beef", "front"),
        ("left", "2001:db8::7", "beef", "front"),
        ("refused", "192.0.2.9", None, None),
        ("left", "192.0.2.1", "c0ffee", "front"),
    ]
    assert [each["code"] for each in entries if each["event"] == "refused"] == ["forbidden", "token-needed"]
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (*shown, "sesame-and-more", "secret-instance-id", ANNA):
        assert secret not in path.read_text()


def test_the_file_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(AuditFile(path, 2000))
    for number in range(500):
        log.note("connected", "192.0.2.1", Rights("viewer", token_id=f"{number}"))
    log.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.jsonl", "audit.jsonl.1"]
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 4400
    older = lines(path.with_name("audit.jsonl.1"))
    newer = lines(path) if path.exists() else []
    assert [int(each["grant"]) for each in older + newer][-1] == 499


def test_a_flood_of_refusals_is_counted_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(AuditFile(path, 10_000_000))
    for _ in range(5000):
        log.note("refused", "192.0.2.1", code="token-wrong")
    log.note("connected", "192.0.2.2")
    written = lines(path)
    assert len(written) < 400
    assert written[-1]["unwritten"] + len(written) - 1 == 5000
    assert log.refused["token-wrong"] == 5000


def test_a_file_that_cannot_be_written_costs_nobody_a_connection(tmp_path: Path) -> None:
    async def script(town: Town) -> None:
        await town.camera("front")

    play(script, audit_file=tmp_path / "nowhere" / "audit.jsonl")


def test_what_strangers_choose_is_cut_and_masked(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(AuditFile(path, 100_000))
    log.note("refused", "192.0.2.1", path="/x?token=" + "s3cret" * 3, reason="é\n" * 5000)
    (entry,) = lines(path)
    assert "s3cret" not in path.read_text()
    assert len(entry["reason"]) <= 200
    assert path.read_text().count("\n") == 1
