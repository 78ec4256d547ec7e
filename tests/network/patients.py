"""Machines that something is wrong with, for `edgecam doctor` to find out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.daemons import toml
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam
from tests.network.namespaces import CAMERA_ADDRESS, PUBLIC_ADDRESS, Machine, cable, machine

# So small and so seldom that no machine is too slow for it: a slow encoder would be the verdict.
TEST_PICTURE: dict[str, Any] = {"camera": {"front": {"source": "test", "width": 320, "height": 240, "fps": 5}}}
SECOND_ADDRESS = "192.0.2.81"  # of the machine in the middle
NAT_ADDRESS = "203.0.113.9"


def _chain(hook: str, rule: str) -> str:
    return f"table inet patient {{\n chain only {{\n type {hook};\n {rule}\n }}\n}}\n"


# What is on its way from the camera to the servers in the middle.
UDP_DROPPED = _chain("filter hook input priority filter", 'iifname "camera" meta l4proto udp drop')
RELAYING_DROPPED = _chain("filter hook input priority filter", "udp dport 50000-50100 drop")
EVERYTHING_DROPPED = _chain("filter hook input priority filter", "ip daddr 192.0.2.80 drop")
NO_SENDING = _chain("filter hook output priority filter", 'oifname != "lo" meta l4proto udp drop')
CONE = _chain("nat hook postrouting priority srcnat", 'oifname "public" masquerade')
SYMMETRIC = _chain("nat hook postrouting priority srcnat", 'oifname "public" masquerade fully-random')


@dataclass(frozen=True, slots=True)
class Visit:
    """What the doctor said: its exit code, the document of `--json`, and everything that it printed."""

    code: int
    document: Mapping[str, Any]
    printed: str

    @property
    def verdict(self) -> str:
        return str(self.document["verdict"])

    def findings(self, step: str) -> list[dict[str, Any]]:
        return [finding for finding in self.document["findings"] if finding["step"] == step]

    def finding(self, step: str) -> dict[str, Any]:
        (found,) = self.findings(step)
        return found

    def outcomes(self, step: str) -> list[str]:
        """`ok`, `skipped`, or the code of the problem, in order."""
        return [finding.get("code") or finding["outcome"] for finding in self.findings(step)]


class Patient:
    """`edgecam doctor` on `where` with a configuration of its own. `more` is added to the file."""

    def __init__(self, where: Machine, directory: Path, config: Mapping[str, Any], *more: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.where, self.directory = where, directory
        self.file = directory / "edgecam.toml"
        web = {"listen": f"127.0.0.1:{free_port()}"}
        whole = {"state_dir": str(directory), "web": web, **config}
        self.file.write_text(toml(whole) + "".join(more))

    def run(self, *options: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        with self.where.inside():
            return run_edgecam("doctor", "--config", self.file, *options, state_dir=self.directory, env=env, within=60)

    def visit(self, env: Mapping[str, str] | None = None) -> Visit:
        done = self.run("--json", env=env)
        assert done.returncode in {0, 1}, done.stderr
        assert done.stderr == ""
        return Visit(done.returncode, json.loads(done.stdout), done.stdout)


@dataclass(frozen=True, slots=True)
class Home:
    """A camera behind a router of its own, whose firewall and NAT can be chosen, and the internet behind that."""

    camera: Machine
    router: Machine
    internet: Machine


@contextmanager
def home() -> Iterator[Home]:
    """Everything let through, no NAT. Servers have PUBLIC_ADDRESS and SECOND_ADDRESS of `internet`."""
    with ExitStack() as stack:
        camera, router, internet = (stack.enter_context(machine(role)) for role in ("home", "router", "internet"))
        cable((camera, "eth0", f"{CAMERA_ADDRESS}/24"), (router, "home", "192.168.1.1/24"))
        cable((router, "public", f"{NAT_ADDRESS}/24"), (internet, "router", "203.0.113.1/24"))
        camera.ip("route", "add", "default", "via", "192.168.1.1")
        router.ip("route", "add", "default", "via", "203.0.113.1")
        internet.ip("route", "add", "192.168.1.0/24", "via", NAT_ADDRESS)
        for address in (PUBLIC_ADDRESS, SECOND_ADDRESS):
            internet.ip("address", "add", f"{address}/32", "dev", "lo")
        with router.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        yield Home(camera, router, internet)


def ice(urls: str | list[str], **keys: object) -> str:
    """An entry of `[[ice.servers]]` as a person writes it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"urls": urls, **keys}.items() if value is not None]
    return "\n".join(["", "[[ice.servers]]", *lines, ""])


def certificate(directory: Path, host: str, *, starts_in_days: int = 0) -> tuple[Path, Path]:
    """A self-signed certificate for that IP address, good for two days from then on, and its key."""
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    begins = datetime.now(UTC) + timedelta(days=starts_in_days, hours=-1)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), begins, begins + timedelta(days=2)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain_file, key_file = directory / "cert.pem", directory / "key.pem"
    chain_file.write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return chain_file, key_file
