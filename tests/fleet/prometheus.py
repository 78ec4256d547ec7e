"""Debian's Prometheus on a port and in a directory of the test's own, with the configuration that edgecam ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.ports import free_port
from tests.harness.waiting import until

CONFIG = Path(__file__).parents[2] / "config"


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed: apt install prometheus"
    return found


class Prometheus:
    """`prometheus`, running with config/prometheus.yml, which is only told other places and to look each second.

    `files` are written where the configuration looks below /etc/prometheus."""

    def __init__(self, directory: Path, files: Mapping[str, str]) -> None:
        self.port = free_port()
        self.directory = directory
        shutil.copy(CONFIG / "prometheus-alerts.yml", directory)
        text = (CONFIG / "prometheus.yml").read_text()
        assert "/etc/prometheus/" in text
        assert ": 15s" in text
        self.config = directory / "prometheus.yml"
        self.config.write_text(text.replace("/etc/prometheus/", f"{directory}/").replace(": 15s", ": 1s"))
        for name, content in files.items():
            (directory / name).write_text(content)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        options = [f"--config.file={self.config}", f"--storage.tsdb.path={self.directory}/data"]
        options.append(f"--web.listen-address=127.0.0.1:{self.port}")
        with (self.directory / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen([program("prometheus"), *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._ready, within=20, what="Prometheus", explain=(self.directory / "prometheus.log").read_text)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def api(self, path: str, **parameters: str) -> Any:
        """`data` of /api/v1/PATH. Fails with what Prometheus says of a wrong query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query that are numbers."""
        return [each for each in self.api("query", query=expression)["result"] if each["value"][1] != "NaN"]

    def value(self, expression: str) -> float:
        (sample,) = self.query(expression)
        return float(sample["value"][1])
