"""Step: each signaling server, as the camera uses it: its name, its certificate, whether it lets the camera in."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from edgecam.doctor.findings import Finding, ok, problem_of
from edgecam.doctor.names import resolves
from edgecam.doctor.trials import Trial, trial
from edgecam.errors import SignalingError
from edgecam.settings import IceServer
from edgecam.settings.signaling import Signaling
from edgecam.signaling.reasons import endpoint

STEP = "signaling"
CERT_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL


@dataclass(slots=True)
class SignalingResult:
    """What came of one server: the finding, the ICE servers that it hands out, its Date header, and whether its
    certificate begins in what is the future by our clock."""

    finding: Finding
    ice_servers: Sequence[IceServer] = ()
    date: str = ""
    not_yet_valid: bool = False


@dataclass(slots=True)
class _Visit:
    section: str
    settings: Signaling
    trial: Trial
    date: str = ""

    async def make(self) -> tuple[str, float]:
        """What was found, and the seconds that it took. Raises SignalingError."""
        await self._require_name()
        started = time.monotonic()
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note_date)
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            try:
                found = await self.trial.make(session)
            except SignalingError as error:
                self.date = self.date or _date_of(error.__cause__)
                raise
        return found, time.monotonic() - started

    async def _require_name(self) -> None:
        host = URL(self.settings.url).host or ""
        if not await resolves(host):
            raise SignalingError(
                f"the host name {host!r} of {endpoint(self.settings.url)} cannot be resolved",
                remedy=f"check the network's DNS, or correct [signaling.{self.section}] url",
                code="signaling-dns",
            )

    async def _note_date(self, _session: object, _context: object, end: aiohttp.TraceRequestEndParams) -> None:
        self.date = end.response.headers.get("Date", "")


async def try_signaling(
    section: str, settings: Signaling, camera: str, daemon_line: dict[str, Any] | None
) -> SignalingResult:
    """Visit one server. `camera` is registered there for a moment; empty when a running daemon has done so, whose line of
    its status is `daemon_line`."""
    tried = trial(section, settings, "" if daemon_line is not None else camera)
    visit = _Visit(section, settings, tried)
    where = endpoint(settings.url)
    try:
        found, seconds = await visit.make()
    except SignalingError as error:
        cause = error.__cause__
        error.code = code_of(error, cause)
        return SignalingResult(problem_of(STEP, section, error), (), visit.date, _not_yet_valid(cause))
    if daemon_line is not None and daemon_line["condition"] != "running":
        said = daemon_line["detail"] or daemon_line["condition"]
        unwell = SignalingError(
            f"the running daemon says: {said}", remedy="see the daemon's log", code=daemon_line["code"]
        )
        return SignalingResult(problem_of(STEP, section, unwell), tried.ice_servers, visit.date)
    what = "answers, and the running daemon is registered there" if daemon_line is not None else found or "answers"
    said = f"{where} {what} ({seconds * 1000:.0f} ms)"
    return SignalingResult(ok(STEP, section, said, ice_servers=len(tried.ice_servers)), tried.ice_servers, visit.date)


def code_of(error: SignalingError, cause: BaseException | None) -> str:
    """A finer code than the daemon's, which retries whatever the cause is."""
    if isinstance(cause, aiohttp.WSServerHandshakeError):
        return "signaling-auth" if cause.status in {401, 403, 429} else "signaling-refused"
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "signaling-dns"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return "signaling-tls"
    if isinstance(cause, aiohttp.ClientConnectorError) and isinstance(cause.os_error, ConnectionRefusedError):
        return "signaling-refused"
    return error.code


def _date_of(error: BaseException | None) -> str:
    """A server that turns us away tells the time all the same."""
    headers = error.headers if isinstance(error, aiohttp.WSServerHandshakeError) else None
    return headers.get("Date", "") if headers is not None else ""


def _not_yet_valid(cause: BaseException | None) -> bool:
    verification = getattr(cause, "certificate_error", None)
    return getattr(verification, "verify_code", 0) == CERT_NOT_YET_VALID
