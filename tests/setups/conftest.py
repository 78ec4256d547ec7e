"""Ready-made set-ups, run as they are written but for ports, names of files, and the certificate."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.browser import Browser, running_browser
from tests.phone.conftest import FAKE_CAMERA

NAMES = "MAP cams.example 127.0.0.1, MAP camera.example 127.0.0.1"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium that finds the set-ups' names on this machine, and has a camera."""
    with running_browser(*FAKE_CAMERA, f"--host-resolver-rules={NAMES}") as chromium:
        yield chromium


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for both names, and its key."""
    directory = tmp_path_factory.mktemp("certificate")
    pair = directory / "fullchain.pem", directory / "privkey.pem"
    names = ["-subj", "/CN=cams.example", "-addext", "subjectAltName=DNS:cams.example,DNS:camera.example"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(pair[1])]
    subprocess.run(["openssl", "req", "-x509", *key, "-out", str(pair[0]), "-days", "2", *names], check=True, capture_output=True)
    return pair
