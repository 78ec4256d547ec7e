"""Starting the media servers, scripting them, and asking what they have seen."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from tests.harness.node import with_packages
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.harness.web import request

HERE = Path(__file__).parent
START_WITHIN = 20.0  # seconds
PICTURES_WITHIN = 15.0  # seconds


class MediaServer:
    """`whip.mjs` or `mediasoup.mjs` on a port of its own, which it keeps when it is started again."""

    def __init__(self, program: str) -> None:
        self.port = free_port()
        os.environ["MEDIASOUP_WORKER_BIN"] = "/bin/false"  # npm is not to fetch or build mediasoup's worker, which is not used
        self._program = with_packages(HERE / program)
        self._process: subprocess.Popen[str] | None = None
        self._script: dict[str, Any] = {}
        self.complaints: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            print(f"--- {self._program.name}, the last lines ---", *self.complaints[-30:], sep="\n")

    def start(self) -> None:
        """Start, with the script that it had."""
        assert self._process is None
        command = ["node", str(self._program), str(self.port), json.dumps(self._script)]
        self._process = process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=lambda: self.complaints.extend(process.stdout or ()), daemon=True)
        self._reader.start()
        until(self._answers, within=START_WITHIN, what=f"{self._program.name} listening", explain=lambda: self.complaints[-5:])

    def _answers(self) -> bool:
        try:
            return request(self.port, "GET", "/control").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """As a power cut would: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join(5)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is None or self._process.poll() is not None

    def restart(self) -> None:
        """Once more, after whatever end."""
        self.kill()
        self.start()

    def script(self, **values: Any) -> None:
        """Have it behave so from now on."""
        self._script |= values
        assert request(self.port, "POST", "/control/script", json.dumps(values)).status == 200

    def reset(self) -> None:
        """As it was at first, without sessions, and running."""
        self._script = {}
        if self.ended:
            self.restart()
        self.do("reset")

    def do(self, what: str) -> None:
        """pli, close, forget and the like."""
        assert request(self.port, "POST", f"/control/{what}").status == 200

    def seen(self) -> dict[str, Any]:
        found = request(self.port, "GET", "/control").json
        assert isinstance(found, dict)
        return found

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [one for one in self.seen()["requests"] if one["method"] == method]

    def wait_session(self, units: int = 10, within: float = PICTURES_WITHIN, **fields: object) -> dict[str, Any]:
        """Until the only session has brought so many whole access units; returns it."""

        def look() -> dict[str, Any] | None:
            sessions = self.seen()["sessions"]
            enough = len(sessions) == 1 and sessions[0]["units"] >= units and sessions[0]["broken"] == 0
            return sessions[0] if enough and all(sessions[0][key] == value for key, value in fields.items()) else None

        return until(look, within=within, what=f"{units} access units in one session {fields}", explain=self._short)

    def _short(self) -> object:
        seen = self.seen()
        requests = [(request["method"], request["reply"] and "answered") for request in seen["requests"]]
        return requests, [(s["id"], s["state"], s["units"], s["broken"]) for s in seen["sessions"]]

    def decoded(self) -> list[av.VideoFrame]:
        """The pictures since the last keyframe that the server received, decoded."""
        stream = request(self.port, "GET", "/control/h264").body
        with av.open(io.BytesIO(stream), "r", format="h264") as container:
            return list(container.decode(video=0))
