"""Which encoder the full size of a camera gets: the one that goes with the source, or one of FFmpeg's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgecam.capture.candidates import EncoderSpec
from edgecam.capture.config import ChildConfig
from edgecam.capture.encoder import Choice, choose
from edgecam.capture.frames import FrameSource, LatestFrame
from edgecam.errors import CaptureError

PICAMERA2 = "picamera2"  # the source, and the encoder that goes with it
ON_A_COPY = "it reads the camera's own buffers, and the overlay is drawn on a copy"


def choose_encoder(
    config: ChildConfig, source: FrameSource, mailbox: LatestFrame, spec: EncoderSpec, trying: Callable[[str], object]
) -> Choice:
    """The hardware's own where the camera's buffers can be given to it, else the first of FFmpeg's that encodes. `trying` hears the
    name of each before. Raises CaptureError."""
    if config.source != PICAMERA2 or config.encoder not in {"auto", PICAMERA2}:
        return choose(spec, config.encoder, config.skip_encoders, trying)
    try:
        return _picameras(config, source, mailbox, spec, trying)
    except (OSError, CaptureError) as error:
        reason = f"{PICAMERA2}: {error.message if isinstance(error, CaptureError) else error.strerror}"
        if config.encoder == PICAMERA2:
            raise CaptureError(reason, remedy='set encoder = "auto"', code="encoder-failed") from error
    choice = choose(spec, config.encoder, config.skip_encoders, trying)
    return replace(choice, reason=f"{reason}; {choice.reason}")


def _picameras(
    config: ChildConfig, source: FrameSource, mailbox: LatestFrame, spec: EncoderSpec, trying: Callable[[str], object]
) -> Choice:
    """Raises OSError, CaptureError."""
    from edgecam.capture.picamera import Picamera
    from edgecam.capture.picameraencoder import PicameraEncoder

    if config.overlay != "off":
        raise CaptureError(ON_A_COPY)
    if PICAMERA2 in config.skip_encoders:
        raise CaptureError(f"left out ({config.skip_encoders[PICAMERA2]})")
    assert isinstance(source, Picamera)
    picture = mailbox.take()
    assert picture is not None
    trying(PICAMERA2)
    try:
        encoder = PicameraEncoder(source.camera, source.request_of, spec)
        encoder.probe_with(picture.frame, picture.captured_ns)
    finally:
        picture.release()
    return Choice(encoder, f"{PICAMERA2} encodes in hardware", encoder.profile_level_id())
