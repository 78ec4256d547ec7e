"""A listener's certificate: loaded, watched, and exchanged when it was renewed, without a connection noticing."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from edgecam.errors import ConfigError
from edgecam.http.stamps import stamp_of

log = structlog.get_logger(__name__)

WATCH_EVERY = 5.0  # seconds between two looks at the files


class Certificate:
    """`context` is for the listener. Handshakes that begin after a renewal use the new certificate; open connections go on."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._stamps: object = None
        self._current: ssl.SSLContext | None = None
        self.context = _context()
        # Asked in every handshake, with a server name or without. One assignment changes the certificate: between two
        # files that are written one after the other there is no moment with a pair that does not match.
        self.context.sni_callback = self._choose

    def load(self) -> None:
        """Raises ConfigError when the files cannot be used."""
        stamps = self._stamp()
        fresh = _context()
        try:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key.
            fresh.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            raise ConfigError(
                f"certificate {self._certificate} and key {self._key} cannot be used: {error.reason or error}",
                remedy="both must be PEM, belong together, and the key must not be encrypted",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot read certificate {self._certificate} or key {self._key}: {error.strerror}",
                remedy="make them readable for this user, or correct [server] tls_certificate and tls_key",
            ) from error
        self._current, self._stamps = fresh, stamps

    def refresh(self) -> bool:
        """Load what has been renewed; whether there was something. A bad renewal is logged once, the old pair stays."""
        stamps = self._stamp()
        if stamps == self._stamps:
            return False
        try:
            self.load()
        except ConfigError as error:
            self._stamps = stamps
            log.warning("tls.renewal-unusable", reason=str(error), hint="the certificate from before stays in use")
            return False
        log.info("tls.renewed", certificate=str(self._certificate))
        return True

    async def watch(self) -> None:
        """Refresh when the files change; for `background`."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            await asyncio.to_thread(self.refresh)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._current is not None:
            connection.context = self._current

    def _stamp(self) -> object:
        return [stamp_of(path) for path in (self._certificate, self._key)]


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
