"""What every offer and answer goes through on its way into aiortc: bounds, and one clear error for whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiortc import RTCRtpSender

from edgecam.errors import NegotiationError

log = structlog.get_logger(__name__)

NEGOTIATE_TIMEOUT = 15.0  # seconds; with `policy = "relay"` a silent TURN server is waited for


@asynccontextmanager
async def negotiating(what: str) -> AsyncIterator[None]:
    """Bound a step in time, and turn whatever a peer's description breaks inside aiortc into a NegotiationError."""
    try:
        async with asyncio.timeout(NEGOTIATE_TIMEOUT):
            yield
    except NegotiationError:
        raise
    except TimeoutError as error:
        raise NegotiationError(f"negotiating {what} took too long", code="sdp-timeout") from error
    except Exception as error:
        log.debug("sdp.refused", what=what, error=repr(error))
        raise NegotiationError(f"{what} cannot be used ({str(error) or type(error).__name__})") from error


def opus_capabilities() -> list[Any]:
    """aiortc's Opus capability."""
    return [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType == "audio/opus"]


def h264_capabilities() -> list[Any]:
    """aiortc's H.264 capabilities and RTX, constrained baseline first: it is what every browser decodes."""
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    h264 = [c for c in capabilities if c.mimeType == "video/H264"]
    h264.sort(key=lambda c: not str(c.parameters.get("profile-level-id", "")).lower().startswith("42e0"))
    return h264 + [c for c in capabilities if c.mimeType == "video/rtx"]
