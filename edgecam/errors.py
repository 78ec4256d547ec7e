"""Errors that a person reads: one line that says what is wrong and what to do next.

The supervisor classifies by type: `RetryableError` is backed off and tried again, everything else unwinds the
daemon. `code` is stable: it stands in status, metrics and the troubleshooting page.
"""

from __future__ import annotations


class EdgecamError(Exception):
    """Base of all errors that edgecam raises on purpose.

    `message` says what is wrong; `remedy` what to do next; `code` is a stable, machine-readable kebab-case word.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class ConfigError(EdgecamError):
    """The configuration is wrong. Exit 78 (EX_CONFIG), which the systemd unit does not restart."""

    code = "config"
    exit_code = 78


class FatalError(EdgecamError):
    """Nothing sensible can be done without a person: the daemon unwinds and exits 1."""

    code = "fatal"


class RetryableError(EdgecamError):
    """A condition that may pass: the supervisor backs off, reports, and tries again for ever."""

    code = "retryable"


class CaptureError(RetryableError):
    """A camera, its driver or its encoder failed; codes: camera-absent, camera-busy, camera-denied,
    camera-format, camera-io, camera-stalled, camera-closed, encoder-failed, capture-crashed, file-unreadable,
    picamera-missing."""

    code = "camera-io"


class SignalingError(RetryableError):
    """The signaling server is unreachable, refused us, or broke the connection; codes: signaling-unreachable,
    signaling-refused, signaling-auth, signaling-lost."""

    code = "signaling-unreachable"


class IceCredentialsError(RetryableError):
    """TURN credentials could not be fetched; codes: credentials-unreachable, credentials-refused,
    credentials-malformed."""

    code = "credentials-unreachable"


class NegotiationError(EdgecamError):
    """An offer, answer or candidate that cannot be used; harms only the session it belongs to.

    Codes: sdp-malformed, sdp-no-h264, sdp-no-video."""

    code = "sdp-malformed"


class ViewerRefusedError(EdgecamError):
    """A viewer cannot be served now; codes: viewers-full, camera-unknown, shutting-down, memory-low, budget-spent, turn-unusable, and
    those of TURN servers that refuse: turn-401, credential-expired, turn-forbidden, turn-quota."""

    code = "viewers-full"
