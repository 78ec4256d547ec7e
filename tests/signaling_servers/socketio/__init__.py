"""Socket.IO servers in Node (npm's socket.io), each with a browser page as its people have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness.foreign import ForeignServer
from tests.harness.node import with_packages
from tests.harness.web import request

HERE = Path(__file__).parent


class SocketioServer(ForeignServer):
    """`call` or `room`. What it passes on can be read, and its habits be set."""

    def __init__(self, kind: str) -> None:
        program = with_packages(HERE / f"{kind}.mjs")
        super().__init__(["node", program, "PORT", HERE / f"{kind}.html"])

    def ask(self, path: str) -> Any:
        """What the server tells tests."""
        return request(self.port, "GET", f"/test/{path}").json

    def tell(self, path: str, **body: object) -> None:
        """Have the server do something."""
        assert request(self.port, "POST", f"/test/{path}", json.dumps(body)).status == 200

    def heard(self, who: str, event: str) -> list[Any]:
        """What `who` has said in events of that name: their first arguments, oldest first."""
        return [line["args"][0] for line in self.ask("lines") if line["from"] == who and line["event"] == event]

    def said_to(self, who: str, event: str) -> list[Any]:
        """What `who` was told in events of that name."""
        return [line["args"][0] for line in self.ask("lines") if line.get("to") == who and line["event"] == event]
