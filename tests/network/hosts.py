"""edgecam's programs on machines of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon, Server
from tests.harness.web import Reply
from tests.network.namespaces import Machine


def ice_server(url: str, username: str, password: str, table: str = "ice.servers") -> str:
    """A TURN server as a person writes it into the configuration file."""
    return f'\n[[{table}]]\nurls = ["{url}"]\nusername = "{username}"\ncredential = "{password}"\n'


@contextmanager
def browser_on(where: Machine) -> Iterator[Browser]:
    """Chromium on that machine. Only starting it happens there: whoever uses it stays where they are."""
    with ExitStack() as stack:
        with where.inside():
            browser = stack.enter_context(running_browser())
        yield browser


class RemoteDaemon(Daemon):
    """`edgecam run` on `where`, open to its network, with a token that it makes for itself. `more` is added to its
    configuration file."""

    def __init__(self, where: Machine, config: Mapping[str, Any], state_dir: Path, more: Sequence[str] = ()) -> None:
        self.where = where
        super().__init__(config, state_dir, host="0.0.0.0")
        self.file.write_text("".join([self.file.read_text(), *more]))

    def start(self) -> None:
        with self.where.inside():
            super().start()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        shown = {"Authorization": f"Bearer {self.token}"} if self.token_file.exists() else {}
        with self.where.inside():
            return super().request(method, path, body, {**shown, **(headers or {})})

    @property
    def token_file(self) -> Path:
        return self.state_dir / "web-token"

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def link(self, address: str, path: str = "/") -> str:
        """What a person would open to get to `path`."""
        return f"http://{address}:{self.port}{path}?token={self.token}"


class RemoteServer(Server):
    """`edgecam server` on `where`, open to its network."""

    def __init__(self, where: Machine, config: Mapping[str, Any], state_dir: Path, more: Sequence[str] = ()) -> None:
        self.where = where
        self.token = str(config["server"]["token"])
        super().__init__(config, state_dir, host="0.0.0.0")
        self.file.write_text("".join([self.file.read_text(), *more]))

    def start(self) -> None:
        with self.where.inside():
            super().start()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        with self.where.inside():
            return super().request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
